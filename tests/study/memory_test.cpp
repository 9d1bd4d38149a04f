#include "lamina/study/memory.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "train/plan_of.hpp"

namespace lamina {
namespace {

TEST(TensorBytes, CountsWhatLivesAndTheMostThatLived) {
  TensorBytes bytes;
  const at::Tensor kept = at::empty({1000}, at::kFloat);
  const std::int64_t before = bytes.live();
  bytes.take_peak();
  {
    const at::Tensor passing = at::empty({5000}, at::kDouble);
  }
  EXPECT_EQ(bytes.live(), before);
  EXPECT_EQ(bytes.take_peak(), before + 40'000);
  EXPECT_EQ(bytes.take_peak(), before) << "the peak begins anew";
}

std::vector<ModuleMemory> memory_of(const std::string& more) {
  return measure_memory(plan_of(
      "model: {backbone: resnet14}\npartition: {modules: 6}\ndata: {name: synthetic}\ntrain: {batch: 32}\n" +
      more));
}

const std::string one_thread = "pipeline: {threads: 1}\n";

std::int64_t largest(const std::vector<ModuleMemory>& modules) {
  std::int64_t most = 0;
  for (const ModuleMemory& module : modules) most = std::max(most, module.peak_bytes);
  return most;
}

TEST(MeasureMemory, GraphsOfAsManyModulesAsTheWindowHasAreOpenAndNoMore) {
  std::vector<std::int64_t> by_window;
  for (const int window : {1, 2, 3})
    by_window.push_back(
        largest(memory_of(one_thread + "method: {framework: greedy, mlaan: {lam_on: none, window: " +
                          std::to_string(window) + "}}\n")));
  EXPECT_LT(by_window[0], by_window[1]);
  EXPECT_LT(by_window[1], by_window[2]);
  EXPECT_LT(by_window[1], largest(memory_of(one_thread + "method: {framework: e2e}\n")));
}

TEST(MeasureMemory, TellsEveryModuleAndTheShadowsBehindAStage) {
  const auto modules = memory_of(
      "method: {framework: greedy, mlaan: {window: 2}}\npipeline: {stages: [2], workers: 1, threads: 1}\n");
  std::vector<std::tuple<int, std::int64_t, bool>> found;
  for (const ModuleMemory& module : modules) {
    found.emplace_back(module.stage, module.module, module.shadow);
    EXPECT_GT(module.peak_bytes, 0);
  }
  EXPECT_THAT(found,
              testing::ElementsAre(std::tuple(0, 0, false), std::tuple(0, 1, false), std::tuple(0, 2, false),
                                   std::tuple(0, 3, true), std::tuple(1, 3, false), std::tuple(1, 4, false),
                                   std::tuple(1, 5, false)));
}

}  // namespace
}  // namespace lamina
