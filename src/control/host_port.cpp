#include "lamina/control/host_port.hpp"

#include <charconv>

namespace lamina {

std::optional<HostPort> host_port(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  const bool is_port_alone = colon == std::string::npos;
  std::string host = is_port_alone ? "127.0.0.1" : text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']'))
    host = host.substr(1, host.size() - 2);
  else if (host.find(':') != std::string::npos)
    return std::nullopt;  // an IPv6 address whose last group would pass for the port
  HostPort found{.host = std::move(host)};
  const char* begin = text.data() + (is_port_alone ? 0 : colon + 1);
  const char* end = text.data() + text.size();
  const auto [stopped, bad] = std::from_chars(begin, end, found.port);
  if (bad != std::errc() || stopped != end || found.host.empty()) return std::nullopt;
  return found;
}

}  // namespace lamina
