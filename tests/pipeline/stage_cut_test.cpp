#include "lamina/pipeline/stage_cut.hpp"

#include <gmock/gmock.h>

#include "lamina/core/error.hpp"
#include "small_network.hpp"

namespace lamina {
namespace {

using ::testing::ElementsAre;
using tests::small_modules;

std::vector<std::size_t> sizes(const std::vector<std::vector<ModuleSpec>>& stages) {
  std::vector<std::size_t> result;
  for (const auto& stage : stages) result.push_back(stage.size());
  return result;
}

TEST(StageCut, AListNamesTheLastModuleOfEveryStageButTheLast) {
  EXPECT_THAT(sizes(cut_into_stages(small_modules(), std::vector<std::int64_t>{0, 2})), ElementsAre(1, 2, 1));
}

TEST(StageCut, ANumberMakesTheSlowestStageAsCheapAsCanBe) {
  const std::vector<ModuleSpec> modules = small_modules();
  const auto slowest = [](const std::vector<std::vector<ModuleSpec>>& stages) {
    double most = 0;
    for (const auto& stage : stages) {
      double sum = 0;
      for (const ModuleSpec& module : stage) sum += training_cost(module);
      most = std::max(most, sum);
    }
    return most;
  };
  const double best = slowest(cut_into_stages(modules, std::int64_t{2}));
  for (std::int64_t end = 0; end < 3; ++end)
    EXPECT_LE(best, slowest(cut_into_stages(modules, std::vector<std::int64_t>{end})));
}

TEST(StageCut, RefusesWhatIsNoCut) {
  const std::vector<ModuleSpec> modules = small_modules();
  using Ends = std::vector<std::int64_t>;
  for (const IntOrList& stages :
       {IntOrList(std::int64_t{5}), IntOrList(std::int64_t{0}), IntOrList(Ends{1, 1}), IntOrList(Ends{2, 1}),
        IntOrList(Ends{3}), IntOrList(Ends{-1})})
    EXPECT_THROW(cut_into_stages(modules, stages), Error);
}

TEST(DealStages, GivesEveryWorkerAContiguousRun) {
  const auto stages = cut_into_stages(small_modules(), std::int64_t{4});
  EXPECT_THAT(deal_stages(stages, 4), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(deal_stages(stages, 1), ElementsAre(0, 4));
  EXPECT_THROW(deal_stages(stages, 5), Error);
}

}  // namespace
}  // namespace lamina
