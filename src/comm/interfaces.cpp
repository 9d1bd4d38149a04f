#include "comm/interfaces.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <boost/asio/ip/network_v4.hpp>
#include <memory>
#include <sstream>

#include "lamina/core/process.hpp"

namespace lamina {

namespace {

std::vector<std::string> items(const std::string& list) {
  std::vector<std::string> found;
  std::istringstream stream(list);
  for (std::string item; std::getline(stream, item, ',');) found.push_back(item);
  return found;
}

}  // namespace

std::vector<Interface> interfaces() {
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return {};
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owned(first, ::freeifaddrs);
  std::vector<Interface> found;
  for (const ifaddrs* each = first; each; each = each->ifa_next) {
    if (!each->ifa_addr || each->ifa_addr->sa_family != AF_INET || !(each->ifa_flags & IFF_UP)) continue;
    const auto* ipv4 = reinterpret_cast<const sockaddr_in*>(each->ifa_addr);
    found.push_back({each->ifa_name, asio::ip::address_v4(ntohl(ipv4->sin_addr.s_addr))});
  }
  return found;
}

bool is_called(const Interface& interface, const std::string& wanted) {
  const std::string network_text = wanted.find('/') == std::string::npos ? wanted + "/32" : wanted;
  boost::system::error_code no_network;
  const auto network = asio::ip::make_network_v4(network_text, no_network);
  if (no_network) return interface.name == wanted;
  return asio::ip::make_network_v4(interface.address, network.prefix_length()).canonical() ==
         network.canonical();
}

std::string interface_names(const std::vector<Interface>& interfaces) {
  std::vector<std::string> names;
  for (const Interface& each : interfaces)
    names.push_back(fmt::format("{} with {}", each.name, each.address.to_string()));
  return fmt::format("an interface of {} ({}) or its network", host_name(), fmt::join(names, ", "));
}

bool mpi_finds_one(const std::vector<Interface>& interfaces, const std::string& list) {
  const std::vector<std::string> wanted = items(list);
  return std::any_of(interfaces.begin(), interfaces.end(), [&](const Interface& each) {
    return std::any_of(wanted.begin(), wanted.end(),
                       [&](const std::string& name) { return is_called(each, name); });
  });
}

bool nccl_finds_one(const std::vector<Interface>& interfaces, const std::string& list) {
  const bool leaves_out = list.starts_with('^');
  const bool is_exact = list.substr(leaves_out).starts_with('=');
  const std::vector<std::string> wanted = items(list.substr(leaves_out + is_exact));
  return std::any_of(interfaces.begin(), interfaces.end(), [&](const Interface& each) {
    const bool listed = std::any_of(wanted.begin(), wanted.end(), [&](const std::string& name) {
      return is_exact ? each.name == name : each.name.starts_with(name);
    });
    return listed != leaves_out;
  });
}

}  // namespace lamina
