#pragma once

#include <vector>

#include "lamina/pipeline/worker.hpp"
#include "lamina/train/engine.hpp"
#include "lamina/train/reporter.hpp"

namespace lamina {

/// What a worker and its process tell of themselves; the rest is left out.
WorkerReport report_of(Worker& worker, at::Device device, int number);

/// Collective: every worker's report, by worker.
std::vector<WorkerReport> gather(const WorkerReport& own, Transport& transport, Seconds limit);

/// What the sink knows at a run's end, but for what its checkpoints say.
RunSummary summary_of(const Packet& stop_mark, const Reporter& reporter, std::vector<WorkerReport> reports);

}  // namespace lamina
