#pragma once

namespace lamina {

/// Checks what the environment tells MPI and, with `nccl`, NCCL of network interfaces, which they would fail
/// on late and in many words.
/// @throws Error{device} if a variable names interfaces of which this host has none.
void require_interfaces(bool nccl);

}  // namespace lamina
