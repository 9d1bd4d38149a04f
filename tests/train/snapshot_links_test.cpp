#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "comm/run_workers.hpp"
#include "comm/slow_link.hpp"
#include "lamina/comm/inprocess.hpp"
#include "lamina/train/engine.hpp"
#include "temporary_directory.hpp"
#include "train/plan_of.hpp"
#include "train/snapshot_links.hpp"
#include "train/train_records.hpp"

// Snapshots between workers that share no memory for them: each has a board of its own, and they meet over
// TCP.
namespace lamina {
namespace {

using Json = nlohmann::json;

constexpr int num_stages = 3, num_steps = 60, stalled_from = 5, stalled_until = 45;

TEST(StalledLinks, HoldNobodyUpUnderLatestButTheSnapshotsAge) {
  const TemporaryDirectory directory;
  RunPlan plan = plan_of(
      fmt::format("model: {{backbone: resnet8}}\npartition: {{modules: 4}}\n"
                  "method: {{framework: greedy, mlaan: {{window: 2}}}}\n"
                  "pipeline: {{stages: {0}, workers: {0}, threads: 1}}\nsnapshots: {{policy: latest}}\n"
                  "data: {{name: synthetic, test_limit: 2}}\n"
                  "train: {{batch: 2, max_steps: {1}, epochs: 1000, eval_every_steps: {1}}}\nout: {2}/run\n",
                  num_stages, num_steps, directory.path().string()));
  plan.stage_options.sleep_s = 2e-3;
  SlowLinks links;
  RunOptions options;
  options.snapshots_over_tcp = true;
  options.snapshot_address = [&](const std::string& address) { return links.before(address); };
  options.stop_requested = [&, num_packets = 0]() mutable {
    if (num_packets == stalled_from) links.stall();
    if (num_packets == stalled_until) links.resume();
    ++num_packets;
    return false;
  };
  run(plan, options);
  const std::vector<Json> records = train_records(directory.path() / "run");
  ASSERT_EQ(records.size(), static_cast<std::size_t>(num_steps));
  for (const Json& record : records)
    for (const Json& waited : record.at("snapshot_wait_s")) EXPECT_EQ(waited.get<double>(), 0);
  // What had passed before the links stalled may still arrive for a while; nothing sent after that does.
  const auto age = records.at(stalled_until - 1).at("snapshot_age").at(0).get<std::int64_t>();
  EXPECT_GE(age, stalled_until - stalled_from - 8);
}

std::vector<MeetingPlace> agreed(const std::string& snapshots) {
  const RunPlan plan = plan_of(
      fmt::format("model: {{backbone: resnet8}}\npartition: {{modules: 3}}\nmethod: {{framework: greedy}}\n"
                  "pipeline: {{stages: 3, workers: 3, threads: 1}}\n"
                  "snapshots: {{{}}}\ndata: {{name: synthetic}}\n",
                  snapshots));
  const Transports transports = make_inprocess_transports(3);
  std::vector<MeetingPlace> places(3);
  run_workers(transports, [&](Transport& transport) {
    places[static_cast<std::size_t>(transport.worker())] = agree_on_meeting(plan, transport, Seconds(60));
  });
  return places;
}

TEST(MeetingPlace, HasOneTokenForAllWorkersAndANewOneEveryTime) {
  const std::vector<MeetingPlace> places = agreed("policy: lag");
  EXPECT_EQ(places[0].token.size(), 64u);
  for (const MeetingPlace& place : places) EXPECT_EQ(place.token, places[0].token);
  EXPECT_NE(places[0].token, agreed("policy: lag")[0].token);
}

TEST(MeetingPlace, IsTheLoopbackForWorkersOfOneHostUnlessAnotherIsChosen) {
  for (const MeetingPlace& place : agreed("policy: lag")) EXPECT_EQ(place.interface, "127.0.0.1");
  for (const MeetingPlace& place : agreed("interface: eth7")) EXPECT_EQ(place.interface, "eth7");
}

}  // namespace
}  // namespace lamina
