#include "lamina/study/step_cost.hpp"

#include <gmock/gmock.h>

#include "train/plan_of.hpp"

namespace lamina {
namespace {

const std::string small = R"(
model: {backbone: resnet8}
pipeline: {workers: 1, threads: 1}
data: {name: synthetic}
train: {batch: 4}
)";

TEST(CompareSteps, TellsEveryPlanBesideTheFirst) {
  const std::string cut = small + "partition: {modules: 3}\n";
  const std::vector<StepCost> costs =
      compare_steps({plan_of(small + "method: {framework: e2e}\n"),
                     plan_of(cut + "method: {framework: greedy, mlaan: {window: 2}}\n"),
                     plan_of(cut + "method: {framework: infopro}\n")},
                    3);
  ASSERT_EQ(costs.size(), 3U);
  EXPECT_EQ(costs[0].ratio.lowest, 1);
  EXPECT_EQ(costs[0].ratio.highest, 1);
  for (const StepCost& cost : costs) {
    EXPECT_GT(cost.seconds.lowest, 0);
    EXPECT_LE(cost.ratio.lowest, cost.ratio.median);
    EXPECT_LE(cost.ratio.median, cost.ratio.highest);
  }
}

TEST(CompareSteps, StepsEveryStageOfAPlanThatHasShadows) {
  const std::string stages = R"(
model: {backbone: resnet8}
partition: {modules: 3}
method: {framework: greedy, mlaan: {window: 2}}
pipeline: {stages: 3, workers: 1, threads: 1}
data: {name: synthetic}
train: {batch: 4}
)";
  EXPECT_GT(compare_steps({plan_of(stages)}, 1).front().seconds.median, 0);
}

}  // namespace
}  // namespace lamina
