#pragma once

#include <optional>

#include "lamina/train/engine.hpp"

namespace lamina {

/// One worker's run from the first agreement to the last, over any transport. Blocking; collective.
std::optional<RunSummary> run_worker(const RunPlan& plan, const RunOptions& options, Transport& transport);

}  // namespace lamina
