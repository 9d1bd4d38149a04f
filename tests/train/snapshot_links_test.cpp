#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "comm/slow_link.hpp"
#include "lamina/comm/inprocess.hpp"
#include "temporary_directory.hpp"
#include "train/worker_run.hpp"

// Snapshots between workers that share no memory for them: each has a board of its own, and they meet over
// TCP.
namespace lamina {
namespace {

using Json = nlohmann::json;

constexpr int num_stages = 3, num_steps = 60, stalled_from = 5, stalled_until = 45;

RunPlan plan_of(const std::string& snapshots, const std::filesystem::path& out) {
  ConfigText text = ConfigText::from_text(
      fmt::format("model: {{backbone: resnet8}}\npartition: {{modules: 4}}\n"
                  "method: {{framework: greedy, mlaan: {{window: 2}}}}\n"
                  "pipeline: {{stages: {0}, workers: {0}, threads: 1}}\nsnapshots: {{{1}}}\n"
                  "data: {{name: synthetic, test_limit: 2}}\n"
                  "train: {{batch: 2, max_steps: {2}, epochs: 1000, eval_every_steps: {2}}}\nout: {3}\n",
                  num_stages, snapshots, num_steps, out.string()),
      "test");
  RunPlan plan = make_run_plan(read_run_config(text), {});
  plan.stage_options.sleep_s = 2e-3;
  plan.over_mpi = true;  // as if the workers were processes: snapshots have to be sent
  return plan;
}

class StalledLinks : public testing::Test {
 protected:
  // Every worker behind a link that stalls between two steps of the first stage.
  void run() {
    const RunPlan plan = plan_of("policy: latest", directory_.path() / "run");
    RunOptions options;
    options.snapshot_address = [&](const std::string& address) {
      const std::lock_guard lock(mutex_);
      links_.push_back(std::make_unique<SlowLink>(address));
      return links_.back()->address();
    };
    options.stop_requested = [&] {
      const std::lock_guard lock(mutex_);
      for (const auto& link : links_) {
        if (packets_ == stalled_from) link->stall();
        if (packets_ == stalled_until) link->resume();
      }
      ++packets_;
      return false;
    };
    const auto transports = make_inprocess_transports(num_stages);
    std::vector<std::jthread> workers;
    for (int w = 0; w < num_stages; ++w)
      workers.emplace_back([&, w] {
        run_worker(plan, options, *transports[w], std::make_shared<SnapshotBoard>(plan.snapshots.depth()));
      });
  }

  std::vector<Json> steps() const {
    std::vector<Json> records;
    std::ifstream lines(directory_.path() / "run" / "metrics.jsonl");
    for (std::string line; std::getline(lines, line);)
      if (Json record = Json::parse(line); record.at("kind") == "train") records.push_back(std::move(record));
    return records;
  }

  TemporaryDirectory directory_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<SlowLink>> links_;
  int packets_ = 0;
};

TEST_F(StalledLinks, HoldNobodyUpUnderLatestButTheSnapshotsAge) {
  run();
  const std::vector<Json> records = steps();
  ASSERT_EQ(records.size(), static_cast<std::size_t>(num_steps));
  for (const Json& record : records)
    for (const Json& waited : record.at("snapshot_wait_s")) EXPECT_EQ(waited.get<double>(), 0);
  // What had passed before the links stalled may still arrive for a while; nothing sent after that does.
  const auto age = records.at(stalled_until - 1).at("snapshot_age").at(0).get<std::int64_t>();
  EXPECT_GE(age, stalled_until - stalled_from - 8);
}

}  // namespace
}  // namespace lamina
