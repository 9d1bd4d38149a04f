#pragma once

#include <string>
#include <vector>

namespace lamina {

/// One core of a host.
struct Core {
  std::vector<int> processors;  ///< its hardware threads, as the system numbers them
  int numa_node = 0;            ///< whose memory is nearest, as the system numbers it
};

/// What a worker finds before it is placed, for its neighbours to see.
struct Seat {
  std::string host;
  std::string machine;          ///< equal for all workers on the same processors and devices
  std::vector<int> processors;  ///< that it may run on, rising
  std::string device{};         ///< the PCI bus id of its GPU, e.g. "0000:81:00.0"; empty on the CPU
  int device_node = -1;         ///< the NUMA node beside that; -1: none, or unknown
  double quota = 0;             ///< processors' worth of time that its container has; 0: no limit
};

/// How finely a host is divided among its workers.
enum class Binding {
  none,
  nodes,  ///< into NUMA nodes
  cores,
};

/// The processors that each of a machine's workers is to be bound to, by seat. Empty: it stays where it is.
///
/// A worker with a GPU goes beside it: Binding::nodes gives it all of the GPU's node, Binding::cores a share
/// of the node's cores. Without one it gets a share of the machine's nodes, or cores. Shares are runs of
/// neighbours, in the order of `cores` and of the seats, and differ by one at most. Where workers outnumber
/// nodes, neighbours share one; where they outnumber cores, nobody is bound to any.
/// Workers that may run on different processors have been bound already, e.g. by mpirun, and stay so.
std::vector<std::vector<int>> place(const std::vector<Core>& cores, const std::vector<Seat>& seats,
                                    Binding binding);

/// How many threads each of a machine's workers is to have, given the seats of all: as many as the one that
/// can keep the fewest busy, and at least 1. A processor is shared by those that may run on it, a quota by
/// those of one host name.
int threads_each(const std::vector<Seat>& seats);

/// NCCL has no two ranks on one device, unless NCCL_MULTI_RANK_GPU_ENABLE=1 tells it to. `seats` are all
/// workers'.
/// @throws Error{device} naming the first two that share one, and what to do.
void require_own_devices(const std::vector<Seat>& seats);

}  // namespace lamina
