#pragma once

#include <string>

#include "comm/asio.hpp"

namespace lamina {

/// The address that `host`, a name or an address, stands for. Empty: the one by which other hosts reach this
/// one, i.e. what its name resolves to, or that of its first network interface if that is only loopback (as
/// Debian sets hosts up); loopback if there is no other. @throws Error{device} if `host` is unknown.
asio::ip::address host_address(const std::string& host);

/// "host:port", an IPv6 address in brackets, and back. @throws Error{contract} for any other text.
std::string endpoint_text(const tcp::endpoint& endpoint);
tcp::endpoint endpoint_of(const std::string& text);

}  // namespace lamina
