#include "lamina/train/run_plan.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "lamina/comm/host_topology.hpp"
#include "train/plan_of.hpp"

namespace lamina {
namespace {

// As a container does, or a scheduler.
TEST(RunPlan, WorkersShareTheProcessorsThatTheProcessMayUseAndNotTheHosts) {
  const HostTopology here;
  std::vector<int> processors = here.usable_processors();
  if (processors.size() < 4) GTEST_SKIP() << "this host has fewer than four processors";
  processors.resize(2);
  RunPlan plan;
  std::thread([&] {
    EXPECT_TRUE(here.bind(processors, HostTopology::Scope::thread));
    plan = plan_of(
        "model: {backbone: resnet8}\npartition: {modules: 3}\nmethod: {framework: greedy}\n"
        "pipeline: {stages: 3, workers: 2}\ndata: {name: synthetic}\n");
  }).join();
  EXPECT_TRUE(plan.auto_threads);
  EXPECT_EQ(plan.config.pipeline.threads, 1);
}

}  // namespace
}  // namespace lamina
