#include "comm/host_address.hpp"

#include <fmt/format.h>
#include <fmt/ostream.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <charconv>
#include <memory>
#include <optional>
#include <vector>

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

// IPv4 addresses of the interfaces that are up, in the system's order.
std::vector<address> interface_addresses() {
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return {};
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owned(first, ::freeifaddrs);
  std::vector<address> found;
  for (const ifaddrs* each = first; each; each = each->ifa_next) {
    if (!each->ifa_addr || each->ifa_addr->sa_family != AF_INET || !(each->ifa_flags & IFF_UP)) continue;
    const auto* ipv4 = reinterpret_cast<const sockaddr_in*>(each->ifa_addr);
    found.emplace_back(asio::ip::address_v4(ntohl(ipv4->sin_addr.s_addr)));
  }
  return found;
}

}  // namespace

address host_address(const std::string& host) {
  if (!host.empty()) {
    const std::vector<address> found = resolved(host);
    if (found.empty()) throw Error(ErrorKind::device, fmt::format("host {} has no known address", host));
    return found.front();
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
