#pragma once

#include <cstdint>

#include "standin.hpp"

namespace nccl_standin {

/// What this group of this rank runs into.
FaultKind fault_of(int rank, std::int64_t group);

}  // namespace nccl_standin
