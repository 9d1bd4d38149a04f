#include "train/worker_place.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lamina/comm/host_topology.hpp"
#include "lamina/core/process.hpp"
#include "temporary_directory.hpp"
#include "train/plan_of.hpp"

namespace lamina {
namespace {

RunPlan plan_bound(const std::string& bind, const std::string& out) {
  return plan_of(
      fmt::format("model: {{backbone: resnet8}}\npartition: {{modules: 3}}\nmethod: {{framework: greedy}}\n"
                  "pipeline: {{stages: 3, workers: 2, threads: 1, bind: {}}}\n"
                  "data: {{name: synthetic, test_limit: 2}}\n"
                  "train: {{batch: 2, max_steps: 1, epochs: 1000}}\nout: {}\n",
                  bind, out));
}

// What each worker's thread may use while it trains, by stage.
RunSummary run_and_count(const std::string& bind) {
  const TemporaryDirectory directory;
  RunOptions options{.mode = RunMode::bench};
  options.measure_alone = [](Stage&) { return usable_processors(); };
  return *run(plan_bound(bind, (directory.path() / "run").string()), options);
}

TEST(WorkerPlace, ThreadsAreBoundToSharesOfTheCores) {
  const HostTopology here;
  const bool one_core = here.cores().size() < 2;
  if (one_core) GTEST_SKIP() << "this host has one core";
  const RunSummary summary = run_and_count("cores");
  ASSERT_EQ(summary.workers.size(), 2u);
  std::size_t num_shared_out = 0;
  for (const WorkerReport& worker : summary.workers) {
    EXPECT_TRUE(worker.place.bound);
    for (const double num_usable : worker.alone_s) EXPECT_LT(num_usable, usable_processors());
    num_shared_out += static_cast<std::size_t>(worker.alone_s.front());
  }
  EXPECT_EQ(num_shared_out, here.usable_processors().size());
  EXPECT_NE(summary.workers[0].place.processors, summary.workers[1].place.processors);
}

TEST(WorkerPlace, NobodyIsBoundWhereThatIsNotWanted) {
  for (const WorkerReport& worker : run_and_count("none").workers) {
    EXPECT_FALSE(worker.place.bound);
    EXPECT_EQ(worker.alone_s.front(), usable_processors());
    EXPECT_EQ(worker.place.processors, processor_list(HostTopology().usable_processors()));
  }
}

TEST(WorkerPlace, TheMapIsALineAWorker) {
  const std::vector<WorkerPlace> places{
      {.host = "n1", .device = "cuda:1 (0000:81:00.0)", .numa_node = 1, .processors = "8-15", .bound = true},
      {.host = "n2", .device = "cpu", .processors = "0-3"}};
  EXPECT_EQ(text(plan_bound("auto", "x"), places),
            "worker 0 on n1: stage 0, cuda:1 (0000:81:00.0) beside NUMA node 1, bound to processors 8-15\n"
            "worker 1 on n2: stages 1-2, cpu, may use processors 0-3\n");
}

}  // namespace
}  // namespace lamina
