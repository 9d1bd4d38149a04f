#pragma once

#include <vector>

#include "lamina/train/run_plan.hpp"

namespace lamina {

/// Seconds of one training step of a stage on a made-up batch of the plan's size, with made-up shadows: the
/// median of `repeats`, after a warm-up. Its parameters are trained by it.
double measure_stage(Stage& stage, const RunPlan& plan, int repeats);

/// Seconds of one training step of every module by itself, with the plan's batch and threads.
std::vector<double> measure_modules(const RunPlan& plan, int repeats);

}  // namespace lamina
