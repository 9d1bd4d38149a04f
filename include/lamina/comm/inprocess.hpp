#pragma once

#include <memory>
#include <vector>

#include "lamina/comm/transport.hpp"

namespace lamina {

/// Transports for workers that are threads of this process: one per worker. Tensors change hands uncopied, so
/// all lie on one device. On a GPU each worker may compute in a stream of its own (OwnStream): tensors are
/// passed on once their computation has been given to the device, and no thread waits for it; what the
/// receiver's stream is given after the handle's wait() begins behind it, and the memory stays theirs until
/// it is done. A worker that leaves early does so by abort(), or the others wait for it until their limits.
std::vector<std::unique_ptr<Transport>> make_inprocess_transports(int num_workers,
                                                                  at::DeviceType device = at::kCPU);

}  // namespace lamina
