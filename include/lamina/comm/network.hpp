#pragma once

#include <string>

namespace lamina {

/// Checks what the environment tells MPI and, with `nccl`, NCCL of network interfaces, which they would fail
/// on late and in many words.
/// @throws Error{device} if a variable names interfaces of which this host has none.
void require_interfaces(bool nccl);

/// Equal for all processes that reach each other by the loopback interface: those of one running system and
/// one network namespace.
std::string network_id();

}  // namespace lamina
