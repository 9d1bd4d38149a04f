#pragma once

#include <string>
#include <vector>

#include "comm/asio.hpp"

namespace lamina {

/// A network interface that is up, by one of its IPv4 addresses.
struct Interface {
  std::string name;
  asio::ip::address_v4 address;
};

/// In the system's order.
std::vector<Interface> interfaces();

/// The interface's name is `wanted`, or its address is or lies in that network, such as 10.1.0.0/16.
bool is_called(const Interface& interface, const std::string& wanted);

/// What is expected of the name of an interface, with those that there are.
std::string interface_names(const std::vector<Interface>& interfaces);

/// Whether any of these is in the list of names and networks that Open MPI takes in btl_tcp_if_include.
bool mpi_finds_one(const std::vector<Interface>& interfaces, const std::string& list);

/// Whether NCCL_SOCKET_IFNAME, a list of beginnings of names, leaves any of these: behind '=' whole names,
/// behind '^' those to be left out.
bool nccl_finds_one(const std::vector<Interface>& interfaces, const std::string& list);

}  // namespace lamina
