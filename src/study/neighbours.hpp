#pragma once

#include <atomic>
#include <deque>
#include <thread>
#include <vector>

#include "lamina/study/profile.hpp"

namespace lamina {

/// Other workers of a host that compute while one is measured: processors that share a core, a cache or the
/// memory's bandwidth slow each other, and in a run all of them are busy. Beside one that has a stage of the
/// plan's, neighbour n steps the stage n+1 behind that, cyclically: at first beside stage 0.
///
/// Threads  one each; made, told and destroyed by one. No stage is shared with anybody.
/// Blocking the constructor for the warm-ups, the destructor for a step.
/// Memory   refers to the plan, which has to stay where it is; each has all stages.
class Neighbours {
 public:
  /// @throws what a stage throws that cannot be made or stepped; one that fails later ends the process.
  Neighbours(const RunPlan& plan, int count);
  ~Neighbours();
  /// From each one's next step on.
  void compute_beside(int stage) { beside_ = static_cast<std::size_t>(stage); }

 private:
  struct Neighbour {
    std::deque<Stage> stages;
    std::deque<StageProbe> probes;
  };
  void compute(Neighbour& neighbour, std::size_t behind, int threads) const;

  std::deque<Neighbour> all_;
  std::atomic<std::size_t> beside_ = 0;
  std::atomic<bool> stop_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace lamina
