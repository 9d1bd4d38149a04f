#pragma once

#include <functional>
#include <vector>

#include "lamina/comm/nccl.hpp"

namespace lamina {

/// Runs `body` as all workers, which are threads here, over NCCL's stand-in with these lanes open. Of the
/// options sums and feeds_back are heeded. A worker that throws fails the test and frees the others.
void run_nccl_workers(int num_workers, const std::vector<LaneSpec>& lanes,
                      const std::function<void(Transport&)>& body, NcclOptions options = {});

}  // namespace lamina
