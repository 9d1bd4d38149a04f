#pragma once

#include <string>
#include <vector>

#include "lamina/train/engine.hpp"

namespace lamina {

/// Collective: binds this worker, its thread or its process, as `pipeline.bind` says, and returns where all
/// workers are. Over MPI settles `plan`'s pipeline.threads if they are left to it. Warns of a worker that may
/// run on fewer processors than it has threads.
/// @throws Error{device} at the first worker if two ranks have one GPU and are to talk over NCCL;
/// Error{peer_lost} at the others.
std::vector<WorkerPlace> take_places(RunPlan& plan, Transport& transport, Seconds limit);

/// The map of a run, a line a worker, and on standard output.
std::string text(const RunPlan& plan, const std::vector<WorkerPlace>& places);
void show(const RunPlan& plan, const std::vector<WorkerPlace>& places);

}  // namespace lamina
