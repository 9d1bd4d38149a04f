#include "neighbours.hpp"

#include <ATen/Parallel.h>

namespace lamina {

Neighbours::Neighbours(const RunPlan& plan, int beside, int count) {
  const Initializer init = plan.initializer();
  const auto num_stages = static_cast<int>(plan.stages.size());
  for (int n = 0; n < count; ++n) {
    const StageSpec& spec = plan.stages[static_cast<std::size_t>((beside + n + 1) % num_stages)];
    StageProbe& probe = probes_.emplace_back(stages_.emplace_back(spec, plan.stage_options, init), plan);
    for (int i = 0; i < StageProbe::warmup_steps; ++i) probe.step_s();
  }
  const auto threads = static_cast<int>(*plan.config.pipeline.threads);
  for (StageProbe& probe : probes_)
    threads_.emplace_back([this, &probe, threads] { compute(probe, threads); });
}

Neighbours::~Neighbours() {
  stop_ = true;
  threads_.clear();  // before the probes go
}

void Neighbours::compute(StageProbe& probe, int threads) const {
  at::set_num_threads(threads);  // is each thread's own
  while (!stop_) probe.step_s();
}

}  // namespace lamina
