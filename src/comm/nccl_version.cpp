#include "comm/nccl_version.hpp"

#include <fmt/format.h>

namespace lamina {

std::string nccl_version_text(int code) {
  return fmt::format("{}.{}.{}", code / 10000, code / 100 % 100, code % 100);
}

bool is_bad_nccl_version(int code) {
  return code >= 22803 && code <= 22808;
}

}  // namespace lamina
