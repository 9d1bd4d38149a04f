#pragma once

#include <atomic>
#include <deque>
#include <thread>
#include <vector>

#include "lamina/study/profile.hpp"

namespace lamina {

/// Other workers of a host that compute while one is measured: processors that share a core, a cache or the
/// memory's bandwidth slow each other, and in a run all of them are busy. There is one for each worker of the
/// host, with a stage of the plan's, cyclically; the one with the stage that is measured rests, or another
/// one if nobody has it.
///
/// Threads  one each; made, told and destroyed by one. No stage is shared with anybody.
/// Blocking the constructor for the warm-ups, the others for a step.
/// Memory   refers to the plan, which has to stay where it is.
class Neighbours {
 public:
  /// So many that compute: of 0 there are none, else one more, who rests; at first the one with stage 0.
  /// @throws what a stage throws that cannot be made or stepped; one that fails later ends the process.
  Neighbours(const RunPlan& plan, int count);
  ~Neighbours();
  /// From here on, and no others are at it any more.
  void compute_beside(int stage);

 private:
  struct Neighbour {
    Stage stage;
    StageProbe probe;
    std::atomic<bool> rests = false;
    Neighbour(const StageSpec& spec, const RunPlan& plan)
        : stage(spec, plan.stage_options, plan.initializer()), probe(stage, plan) {}
  };
  void compute(std::size_t number, int threads);

  std::deque<Neighbour> all_;
  std::atomic<std::size_t> resting_ = 0;  // who is to
  std::atomic<bool> stop_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace lamina
