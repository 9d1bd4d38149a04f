#pragma once

#include <vector>

#include "lamina/train/run_plan.hpp"

namespace lamina {

/// Steps a stage apart from any pipeline, on a made-up batch of the plan's size and with made-up shadows.
/// The stage's parameters are trained by that.
///
/// Threads  one at a time; computes with the caller's number of intra-op threads.
/// Memory   refers to the stage, which has to stay where it is.
class StageProbe {
 public:
  static constexpr int warmup_steps = 2;  ///< first touch of memory, and the library's choice of kernels

  StageProbe(Stage& stage, const RunPlan& plan);
  /// Seconds of one training step.
  double step_s();

 private:
  Stage& stage_;
  Packet packet_;
};

/// Seconds of each of `repeats` training steps of a stage by itself, after a warm-up.
std::vector<double> measure_stage(Stage& stage, const RunPlan& plan, int repeats);

}  // namespace lamina
