#include "comm/host_address.hpp"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <charconv>
#include <vector>

#include "comm/interfaces.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/process.hpp"

namespace lamina {

namespace {

using asio::ip::address;

std::vector<address> resolved(const std::string& name) {
  asio::io_context io;
  boost::system::error_code unknown;
  std::vector<address> found;
  for (const auto& entry : tcp::resolver(io).resolve(name, "0", unknown)) {
    found.push_back(entry.endpoint().address());
  }
  return found;
}

std::vector<address> interface_addresses() {
  std::vector<address> found;
  for (const Interface& each : interfaces()) found.emplace_back(each.address);
  return found;
}

}  // namespace

address host_address(const std::string& interface) {
  if (interface != "auto") {
    boost::system::error_code no_address;
    const address given = asio::ip::make_address(interface, no_address);
    if (!no_address && !given.is_unspecified()) return given;
    const std::vector<Interface> present = interfaces();
    for (const Interface& each : present)
      if (is_called(each, interface)) return each.address;
    throw Error(ErrorKind::device, fmt::format("snapshots.interface: expected {}, found '{}'",
                                               interface_names(present), interface));
  }
  for (const std::vector<address>& candidates : {resolved(host_name()), interface_addresses()}) {
    for (const address& candidate : candidates) {
      if (!candidate.is_loopback()) return candidate;
    }
  }
  return asio::ip::address_v4::loopback();
}

std::string endpoint_text(const tcp::endpoint& endpoint) {
  return fmt::format("{}", fmt::streamed(endpoint));
}

tcp::endpoint endpoint_of(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  std::string host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  boost::system::error_code bad_host;
  const address parsed = asio::ip::make_address(host, bad_host);
  std::uint16_t port = 0;
  const char* end = text.data() + text.size();
  const char* begin = colon == std::string::npos ? end : text.data() + colon + 1;
  const auto [stopped, bad_port] = std::from_chars(begin, end, port);
  if (bad_host || bad_port != std::errc() || stopped != end) {
    throw Error(ErrorKind::contract, fmt::format("expected an address and a port, found '{}'", text));
  }
  return {parsed, port};
}

}  // namespace lamina
