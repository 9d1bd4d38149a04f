#pragma once

#include <atomic>
#include <deque>
#include <thread>
#include <vector>

#include "lamina/study/profile.hpp"

namespace lamina {

/// Other workers of a host that compute while one is measured: processors that share a core, a cache or the
/// memory's bandwidth slow each other, and in a run all of them are busy. Neighbour n steps the plan's stage
/// behind `beside` by n+1, cyclically.
///
/// Threads  one each; made and destroyed by one. No stage is shared with anybody.
/// Blocking the constructor for the warm-ups, the destructor for a step.
/// Memory   refers to the plan, which has to stay where it is.
class Neighbours {
 public:
  /// @throws what a stage throws that cannot be made or stepped; one that fails later ends the process.
  Neighbours(const RunPlan& plan, int beside, int count);
  ~Neighbours();

 private:
  void compute(StageProbe& probe, int threads) const;

  std::deque<Stage> stages_;
  std::deque<StageProbe> probes_;
  std::atomic<bool> stop_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace lamina
