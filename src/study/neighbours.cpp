#include "neighbours.hpp"

#include <ATen/Parallel.h>

namespace lamina {

Neighbours::Neighbours(const RunPlan& plan, int count) {
  const Initializer init = plan.initializer();
  for (int n = 0; n < count; ++n) {
    Neighbour& neighbour = all_.emplace_back();
    for (const StageSpec& spec : plan.stages) {
      Stage& stage = neighbour.stages.emplace_back(spec, plan.stage_options, init);
      StageProbe& probe = neighbour.probes.emplace_back(stage, plan);
      for (int i = 0; i < StageProbe::warmup_steps; ++i) probe.step_s();
    }
  }
  const auto threads = static_cast<int>(*plan.config.pipeline.threads);
  for (Neighbour& neighbour : all_) {
    const std::size_t behind = threads_.size() + 1;
    threads_.emplace_back([this, &neighbour, behind, threads] { compute(neighbour, behind, threads); });
  }
}

Neighbours::~Neighbours() {
  stop_ = true;
  threads_.clear();  // before the probes go
}

void Neighbours::compute(Neighbour& neighbour, std::size_t behind, int threads) const {
  at::set_num_threads(threads);  // is each thread's own
  while (!stop_) neighbour.probes[(beside_ + behind) % neighbour.probes.size()].step_s();
}

}  // namespace lamina
