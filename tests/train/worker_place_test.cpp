#include "train/worker_place.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "lamina/comm/host_topology.hpp"
#include "lamina/comm/inprocess.hpp"
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

double num_allowed() {
  return static_cast<double>(HostTopology().usable_processors().size());
}

// What each worker's thread may run on while it trains, by stage.
RunSummary run_and_count(const std::string& bind) {
  const TemporaryDirectory directory;
  RunOptions options{.mode = RunMode::bench};
  options.measure_alone = [](Stage&) { return num_allowed(); };
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
    for (const double num_usable : worker.alone_s) EXPECT_LT(num_usable, num_allowed());
    num_shared_out += static_cast<std::size_t>(worker.alone_s.front());
  }
  EXPECT_EQ(num_shared_out, here.usable_processors().size());
  EXPECT_NE(summary.workers[0].place.processors, summary.workers[1].place.processors);
}

TEST(WorkerPlace, NobodyIsBoundWhereThatIsNotWanted) {
  for (const WorkerReport& worker : run_and_count("none").workers) {
    EXPECT_FALSE(worker.place.bound);
    EXPECT_EQ(worker.alone_s.front(), num_allowed());
    EXPECT_EQ(worker.place.processors, processor_list(HostTopology().usable_processors()));
  }
}

// The threads of two workers that take their places as ranks do, on whatever this thread may use.
std::vector<std::int64_t> threads_of_ranks(const RunPlan& made) {
  const Seconds limit{60};
  std::vector<RunPlan> plans(2, made);
  for (RunPlan& plan : plans) plan.over_mpi = true;
  const auto transports = make_inprocess_transports(2, at::kCPU);
  {
    const std::jthread other([&] { take_places(plans[1], *transports[1], limit); });
    take_places(plans[0], *transports[0], limit);
  }
  return {*plans[0].config.pipeline.threads, *plans[1].config.pipeline.threads};
}

TEST(WorkerPlace, RanksThatNobodyHasBoundShareTheProcessors) {
  RunPlan plan = plan_bound("none", "x");
  plan.auto_threads = true;
  plan.config.pipeline.threads = 4096;
  EXPECT_THAT(threads_of_ranks(plan), testing::Each(std::max(1, usable_processors() / 2)));
}

TEST(WorkerPlace, RanksKeepTheThreadsThatTheyAreGiven) {
  RunPlan plan = plan_bound("none", "x");
  ASSERT_FALSE(plan.auto_threads);
  plan.config.pipeline.threads = 4096;
  EXPECT_THAT(threads_of_ranks(plan), testing::Each(4096));
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
