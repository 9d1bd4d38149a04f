#pragma once

#include <functional>
#include <vector>

#include "lamina/comm/nccl.hpp"

namespace lamina {

/// Runs `body` as all workers, which are threads here, over NCCL's stand-in with these lanes open. Of the
/// options sums and feeds_back are heeded. A worker that throws fails the test and frees the others.
void run_nccl_workers(int num_workers, const std::vector<LaneSpec>& lanes,
                      const std::function<void(Transport&)>& body, NcclOptions options = {});

/// How long a test waits for what is to come, and for what is not.
inline constexpr Seconds patience(60);
inline constexpr Seconds moment(0.2);

/// Lanes from each worker to the next, and a message for them.
std::vector<LaneSpec> chain_of(int num_workers);
Message message_of(float value);
float value_of(const Message& found);

}  // namespace lamina
