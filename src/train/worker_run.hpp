#pragma once

#include <exception>
#include <functional>
#include <optional>

#include "lamina/pipeline/snapshot_board.hpp"
#include "lamina/train/engine.hpp"
#include "liveness.hpp"

namespace lamina {

/// One worker's run from the first agreement to the last, over any transport. Blocking; collective. The board
/// is shared by the workers of this process, but for RunOptions::snapshots_over_tcp; so is `liveness`, which
/// under MPI is connected here. What ends the run once it is under way is told to `tell` before it is
/// thrown, ahead of what the worker still waits for then: its checkpoints that are being written.
std::optional<RunSummary> run_worker(const RunPlan& plan, const RunOptions& options, Transport& transport,
                                     const std::shared_ptr<SnapshotBoard>& board, Liveness& liveness,
                                     const std::function<void(const std::exception&)>& tell);

}  // namespace lamina
