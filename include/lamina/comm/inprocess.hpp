#pragma once

#include <memory>
#include <vector>

#include "lamina/comm/transport.hpp"

namespace lamina {

/// Transports for workers that are threads of this process: one per worker. Tensors change hands uncopied, so
/// all lie on one device, and its workers compute in the same stream of it.
/// A worker that leaves early does so by abort(), or the others wait for it until their limits.
std::vector<std::unique_ptr<Transport>> make_inprocess_transports(int num_workers,
                                                                  at::DeviceType device = at::kCPU);

}  // namespace lamina
