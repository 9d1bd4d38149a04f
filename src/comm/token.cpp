#include "lamina/comm/token.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "comm/exchange_handshake.hpp"

namespace lamina {

std::string random_token() {
  return fmt::format("{:02x}", fmt::join(fresh_nonce(), ""));
}

}  // namespace lamina
