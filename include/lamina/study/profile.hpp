#pragma once

#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "lamina/pipeline/end_to_end_schedule.hpp"
#include "lamina/train/run_plan.hpp"

namespace lamina {

/// Batches for stages that are stepped apart from a pipeline, of the plan's size. Tensors of one type and
/// shape are the same ones: whom they are given reads them only.
class MadeUpBatches {
 public:
  /// What one of the stage's replicas gets.
  Packet of(const Stage& stage, const RunPlan& plan);

 private:
  std::map<std::pair<at::ScalarType, std::vector<std::int64_t>>, at::Tensor> made_;
};

/// What a step took several stages that do it in turn.
struct TurnTimes {
  std::vector<double> step_s;     ///< by stage
  std::vector<double> forward_s;  ///< by stage, of these; 0 where the schedule has no forward by itself
  std::vector<double> action_s;   ///< by action: all stages together
};

/// Steps a stage apart from any pipeline, on a made-up batch of the plan's size and with made-up shadows.
/// The stage's parameters are trained by that. End to end it does the stage's own actions of the plan's
/// schedule, on made-up gradients, so that as many micro-batches are open as in the pipeline.
///
/// Threads  one at a time; computes with the caller's number of intra-op threads.
/// Memory   refers to the stage, which has to stay where it is.
class StageProbe {
 public:
  static constexpr int warmup_steps = 2;  ///< first touch of memory, and the library's choice of kernels

  StageProbe(Stage& stage, const RunPlan& plan);  ///< with a batch of its own
  StageProbe(Stage& stage, const RunPlan& plan, Packet packet);
  StageProbe(StageProbe&&) = default;
  /// Ends a step that the schedule leaves open.
  ~StageProbe();
  /// Seconds of one training step.
  double step_s();

  /// A step of each of these stages, all of one schedule, that a stage has behind one another: action by
  /// action through all of them, so that each finds the caches as the others leave them. A stage stepped
  /// again and again finds its own tensors there, which makes a small one faster than it will be. On a GPU,
  /// which runs behind what it is asked for, step by step, as if a step were one action without a forward.
  static TurnTimes step_in_turn(std::deque<StageProbe>& probes);

 private:
  const std::vector<Action>& actions() const;  // of the next step: end to end the schedule's, else none
  std::size_t num_actions() const;             // of the next step: end to end the schedule's, else one
  double act_s(std::size_t action);            // its seconds; the last one ends the step
  void act(std::size_t action);
  void perform(const Action& action);

  Stage& stage_;
  Packet packet_;
  WorkerRounds rounds_;              // the actions of this stage alone; empty unless end to end
  std::vector<at::Tensor> grads_{};  // by micro-batch, made up
  bool step_is_open_ = false;
};

/// Seconds of each of `repeats` training steps of a stage by itself, after a warm-up.
std::vector<double> measure_stage(Stage& stage, const RunPlan& plan, int repeats);

}  // namespace lamina
