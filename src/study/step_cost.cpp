#include "lamina/study/step_cost.hpp"

#include <ATen/Parallel.h>

#include <deque>

#include "lamina/study/profile.hpp"

namespace lamina {
namespace {

// A plan's whole network; the probes refer to the stages.
class Network {
 public:
  explicit Network(const RunPlan& plan) {
    const Initializer init = plan.initializer();
    for (const StageSpec& spec : plan.stages) stages_.emplace_back(spec, plan.stage_options, init);
    for (Stage& stage : stages_) probes_.emplace_back(stage, plan);
  }
  double step_s() {
    double seconds = 0;
    for (StageProbe& probe : probes_) seconds += probe.step_s();
    return seconds;
  }

 private:
  std::deque<Stage> stages_;
  std::vector<StageProbe> probes_;
};

}  // namespace

std::vector<StepCost> compare_steps(const std::vector<RunPlan>& plans, int rounds) {
  at::set_num_threads(static_cast<int>(*plans.front().config.pipeline.threads));
  std::deque<Network> networks;
  for (const RunPlan& plan : plans) networks.emplace_back(plan);
  std::vector<std::vector<double>> seconds(plans.size()), ratios(plans.size());
  for (int round = -StageProbe::warmup_steps; round < rounds; ++round)
    for (std::size_t i = 0; i < networks.size(); ++i) {
      const double now_s = networks[i].step_s();
      if (round < 0) continue;
      seconds[i].push_back(now_s);
      ratios[i].push_back(now_s / seconds[0].back());
    }
  std::vector<StepCost> costs;
  for (std::size_t i = 0; i < plans.size(); ++i)
    costs.push_back({.seconds = spread(seconds[i]), .ratio = spread(ratios[i])});
  return costs;
}

}  // namespace lamina
