#pragma once

#include <memory>
#include <vector>

#include "lamina/comm/transport.hpp"

namespace lamina {

/// Transports for workers that are threads of this process: one per worker. Tensors change hands uncopied.
/// A transport must not outlive the others' use of it only in the sense that abort() is the way to leave early.
std::vector<std::unique_ptr<Transport>> make_inprocess_transports(int num_workers);

}  // namespace lamina
