#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace lamina {

/// Where to listen, or whom to call.
struct HostPort {
  std::string host;  ///< a name or an address
  std::uint16_t port = 0;
};

/// "PORT" of this host's loopback, "HOST:PORT" or "[IPV6]:PORT"; nothing for any other text.
std::optional<HostPort> host_port(const std::string& text);

}  // namespace lamina
