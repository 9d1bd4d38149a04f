#pragma once

#include <string>

#include "comm/asio.hpp"

namespace lamina {

/// The address of this host's interface of this name, or in this network (10.1.0.0/16); an address is taken
/// as it is. "auto": the one by which other hosts reach this one, i.e. what its name resolves to, or that of
/// its first interface if that is only loopback (as Debian sets hosts up); loopback if there is no other.
/// @throws Error{device} if there is no such interface, or for the address of all (0.0.0.0).
asio::ip::address host_address(const std::string& interface);

/// "host:port", an IPv6 address in brackets, and back. @throws Error{contract} for any other text.
std::string endpoint_text(const tcp::endpoint& endpoint);
tcp::endpoint endpoint_of(const std::string& text);

}  // namespace lamina
