#pragma once

#include <vector>

#include "lamina/study/spread.hpp"
#include "lamina/train/run_plan.hpp"

namespace lamina {

/// What one training step costs one worker, beside another plan's.
struct StepCost {
  Spread seconds;  ///< of all stages, one after another
  Spread ratio;    ///< to the first plan's step of the same round
};

/// Times whole training steps on made-up batches, with the plans taking turns step by step: what the machine
/// does meanwhile falls on all of them. Every plan has its own network, in memory all at once; the first
/// plan's threads are used for all.
/// @param rounds  steps of each plan, after two that are not counted.
/// @return one per plan, in their order.
std::vector<StepCost> compare_steps(const std::vector<RunPlan>& plans, int rounds);

}  // namespace lamina
