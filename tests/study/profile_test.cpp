#include "lamina/study/profile.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <numeric>

#include "train/plan_of.hpp"

namespace lamina {
namespace {

using Values = std::vector<at::Tensor>;

double sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

// What the stages of an end-to-end run are trained to, each by a probe of its own, in steps that `step` does.
template <typename StepAll>
Values trained(const RunPlan& plan, StepAll step) {
  at::manual_seed(1);  // for what the probes make up
  std::deque<Stage> stages;
  std::deque<StageProbe> probes;
  for (const StageSpec& spec : plan.stages) {
    StageProbe& probe =
        probes.emplace_back(stages.emplace_back(spec, plan.stage_options, plan.initializer()), plan);
    for (int i = 0; i < StageProbe::warmup_steps; ++i) probe.step_s();
  }
  for (int i = 0; i < 3; ++i) step(probes);
  probes.clear();
  Values values;
  for (Stage& stage : stages)
    for (auto& part : stage.parts())
      for (const at::Tensor& tensor : part.module.parameters()) values.push_back(tensor.detach().clone());
  return values;
}

TEST(StageProbe, StagesTrainInTurnAsEachByItself) {
  for (const std::string schedule : {"1f1b", "gpipe", "2bw"}) {
    SCOPED_TRACE(schedule);
    const RunPlan plan = plan_of(
        "{model: {backbone: resnet8}, partition: {modules: 3}, data: {name: synthetic}, train: {batch: 4}, "
        "method: {framework: e2e}, pipeline: {stages: 2, threads: 1, micro_batches: 2, schedule: " +
        schedule + "}}");
    const Values alone = trained(plan, [](std::deque<StageProbe>& probes) {
      for (StageProbe& probe : probes) EXPECT_GT(probe.step_s(), 0);
    });
    const Values in_turn = trained(plan, [](std::deque<StageProbe>& probes) {
      const TurnTimes times = StageProbe::step_in_turn(probes);
      EXPECT_THAT(times.step_s, testing::AllOf(testing::SizeIs(2), testing::Each(testing::Gt(0))));
      EXPECT_THAT(times.forward_s, testing::AllOf(testing::SizeIs(2), testing::Each(testing::Gt(0))));
      EXPECT_LT(times.forward_s[0], times.step_s[0]);
      EXPECT_NEAR(sum(times.action_s), sum(times.step_s), 1e-9);
    });
    ASSERT_EQ(alone.size(), in_turn.size());
    for (std::size_t i = 0; i < alone.size(); ++i) EXPECT_TRUE(at::equal(alone[i], in_turn[i])) << i;
  }
}

}  // namespace
}  // namespace lamina
