#include "neighbours.hpp"

#include <ATen/Parallel.h>

namespace lamina {

Neighbours::Neighbours(const RunPlan& plan, int count) {
  const auto workers = static_cast<std::size_t>(count > 0 ? count + 1 : 0);
  for (std::size_t n = 0; n < workers; ++n) {
    StageProbe& probe = all_.emplace_back(plan.stages[n % plan.stages.size()], plan).probe;
    for (int i = 0; i < StageProbe::warmup_steps; ++i) probe.step_s();
  }
  const auto threads = static_cast<int>(*plan.config.pipeline.threads);
  for (std::size_t n = 0; n < workers; ++n)
    threads_.emplace_back([this, n, threads] { compute(n, threads); });
}

Neighbours::~Neighbours() {
  stop_ = true;
  resting_ = all_.size();  // nobody
  resting_.notify_all();
  threads_.clear();  // before the probes go
}

void Neighbours::compute_beside(int stage) {
  if (all_.empty()) return;
  resting_ = static_cast<std::size_t>(stage) % all_.size();
  resting_.notify_all();
  all_[resting_].rests.wait(false);
}

void Neighbours::compute(std::size_t number, int threads) {
  at::set_num_threads(threads);  // is each thread's own
  Neighbour& self = all_[number];
  while (!stop_) {
    self.rests = false;  // before it looks: who is told to rest later waits for that
    if (resting_ == number) {
      self.rests = true;
      self.rests.notify_all();
      resting_.wait(number);
    } else {
      self.probe.step_s();
    }
  }
}

}  // namespace lamina
