#include "lamina/pipeline/worker.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <thread>

#include "lamina/comm/inprocess.hpp"
#include "lamina/core/error.hpp"
#include "lamina/pipeline/stage_cut.hpp"
#include "small_network.hpp"

namespace lamina {
namespace {

constexpr std::int64_t batch = 6;

// Five training steps with an evaluation and a checkpoint mark between them, a short batch, and the stop
// mark.
std::vector<Packet> stream() {
  std::vector<Packet> packets;
  for (int step = 0; step < 5; ++step)
    packets.push_back(testing::train_packet(step, step == 2 ? batch - 2 : batch));
  Packet eval = testing::train_packet(9, batch);
  eval.kind = PacketKind::eval;
  packets.insert(packets.begin() + 3, eval);
  packets.insert(packets.begin() + 4, Packet{.kind = PacketKind::checkpoint, .step = 3});
  packets.push_back({.kind = PacketKind::stop, .step = 5});
  return packets;
}

struct Outcome {
  std::vector<Packet> left;         // the packets as the sink saw them
  std::vector<at::Tensor> tensors;  // of all modules, at the end
  std::vector<at::Tensor> marked;   // of all modules, as the checkpoint mark found them
  std::vector<Account> accounts;
};

Outcome train_on(int num_workers, const std::vector<ModuleSpec>& modules = testing::small_modules(),
                 const StageOptions& options = {}, const SnapshotPolicy& policy = {}) {
  const auto cut = cut_into_stages(modules, std::int64_t{4});
  const std::vector<StageSpec> stage_specs = make_stage_specs(cut, options.window, true);
  const std::vector<int> first = deal_stages(cut, num_workers);
  const Schedule schedule = streaming_schedule(first);
  std::vector<LaneSpec> lanes;
  for (const ScheduleLane& lane : schedule.lanes)
    lanes.push_back(packet_lane(lane.from, lane.to,
                                {.features = stage_specs[lane.stage].modules.back().out, .batch = batch}, 2));
  auto transports = make_inprocess_transports(num_workers);
  const auto board = std::make_shared<SnapshotBoard>(policy.depth());
  Outcome outcome;
  outcome.accounts.resize(num_workers);
  std::vector<std::vector<at::Tensor>> tensors(num_workers), marked(num_workers);
  // Drawn before there are threads: they share the generator.
  const std::vector<Packet> packets = stream();
  {
    std::vector<std::jthread> threads;
    for (int w = 0; w < num_workers; ++w)
      threads.emplace_back([&, w] {
        at::set_num_threads(1);
        transports[w]->open(lanes);
        std::vector<Stage> stages;
        for (int s = first[w]; s < first[w + 1]; ++s)
          stages.emplace_back(stage_specs[s], options, Initializer(1));
        SnapshotPlane snapshots(policy, board, nullptr, Seconds(60));
        for (const Stage& stage : stages) snapshots.publish_first(stage, 0, {});
        WorkerHooks hooks;
        if (w == 0) hooks.source = [packets, i = 0u]() mutable { return packets.at(i++); };
        hooks.save = [&, w](Stage& stage, const Packet& mark) {
          for (const Stage::Part& part : stage.parts())
            for (const NamedTensor& entry : part.module.tensors())
              (mark.kind == PacketKind::checkpoint ? marked : tensors)[w].push_back(
                  entry.tensor.detach().clone());
          return "stage " + std::to_string(stage.index());
        };
        if (w == num_workers - 1) hooks.sink = [&](const Packet& packet) { outcome.left.push_back(packet); };
        Worker worker(schedule.rounds[w], std::move(stages), *transports[w], lanes, snapshots,
                      std::move(hooks), Seconds(60));
        worker.run();
        outcome.accounts[w] = worker.account();
      });
  }
  for (int w = 0; w < num_workers; ++w) {
    outcome.tensors.insert(outcome.tensors.end(), tensors[w].begin(), tensors[w].end());
    outcome.marked.insert(outcome.marked.end(), marked[w].begin(), marked[w].end());
  }
  return outcome;
}

void expect_equal(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(at::equal(a[i], b[i])) << i;
}

void expect_same_bits(const Outcome& one, const std::function<Outcome(int num_workers)>& train) {
  for (const int workers : {2, 3, 4}) {
    const Outcome many = train(workers);
    expect_equal(one.tensors, many.tensors);
    expect_equal(one.marked, many.marked);
    ASSERT_EQ(one.left.size(), many.left.size());
    for (std::size_t i = 0; i < one.left.size(); ++i) {
      EXPECT_EQ(one.left[i].kind, many.left[i].kind);
      EXPECT_EQ(one.left[i].samples(), many.left[i].samples());
      for (std::size_t m = 0; m < one.left[i].modules.size(); ++m)
        for (std::size_t b = 0; b < one.left[i].modules[m].losses.size(); ++b)
          EXPECT_EQ(one.left[i].modules[m].losses[b].loss, many.left[i].modules[m].losses[b].loss);
    }
  }
}

TEST(Worker, AnyNumberOfWorkersTrainsTheSameBits) {
  expect_same_bits(train_on(1), [](int num_workers) { return train_on(num_workers); });
}

// Shadows and EMAs over every stage's end, of versions that are late and of versions that are skipped.
TEST(Worker, AnyNumberOfWorkersTrainsTheSameBitsOfWindowsAcrossStages) {
  const StageOptions options{.window = 3};
  for (const SnapshotPolicy& policy :
       {SnapshotPolicy{}, SnapshotPolicy{.lag = 1}, SnapshotPolicy{.lag = 2, .every = 2}}) {
    const auto train = [&](int num_workers) {
      return train_on(num_workers, testing::small_mlaan_modules(), options, policy);
    };
    expect_same_bits(train(1), train);
  }
}

TEST(Worker, ReportsHowOldTheVersionsWereThatItUsed) {
  const Outcome outcome = train_on(2, testing::small_mlaan_modules(), {.window = 3}, {.lag = 2, .every = 2});
  for (const Packet& packet : outcome.left) {
    if (packet.kind != PacketKind::train) continue;
    const std::int64_t age = packet.step - SnapshotPolicy{.lag = 2, .every = 2}.version_for(packet.step);
    ASSERT_EQ(packet.stages.size(), 4u);
    for (int stage = 0; stage < 3; ++stage) EXPECT_EQ(packet.stages[stage].age_steps, age);
    EXPECT_EQ(packet.stages[3].age_steps, 0) << "the last stage shadows nobody";
  }
}

TEST(Worker, MarksPassEveryStageInOrderAndCarryItsNote) {
  const Outcome outcome = train_on(2);
  const std::vector<std::string> notes = {"stage 0", "stage 1", "stage 2", "stage 3"};
  EXPECT_EQ(outcome.left.at(4).kind, PacketKind::checkpoint);
  EXPECT_EQ(outcome.left.at(4).notes, notes);
  EXPECT_EQ(outcome.left.back().kind, PacketKind::stop);
  EXPECT_EQ(outcome.left.back().notes, notes);
}

TEST(Worker, AccountsForItsTimeOnlyOnce) {
  for (const Account& account : train_on(2).accounts) {
    EXPECT_GT(account.compute_s, 0);
    EXPECT_LE(account.accounted_s(), account.total_s);
  }
}

TEST(Worker, APeerThatNeverSendsIsATimeout) {
  const auto stage_specs =
      make_stage_specs(cut_into_stages(testing::small_modules(), std::int64_t{2}), 1, true);
  const Schedule schedule = streaming_schedule({0, 1, 2});
  const std::vector<LaneSpec> lanes = {
      packet_lane(0, 1, {.features = stage_specs[0].modules.back().out, .batch = batch}, 2)};
  auto transports = make_inprocess_transports(2);
  std::jthread other([&] { transports[0]->open(lanes); });
  transports[1]->open(lanes);
  std::vector<Stage> stages;
  stages.emplace_back(stage_specs[1], StageOptions{}, Initializer(1));
  SnapshotPlane snapshots({}, std::make_shared<SnapshotBoard>(1), nullptr, Seconds(0.05));
  Worker worker(schedule.rounds[1], std::move(stages), *transports[1], lanes, snapshots, {}, Seconds(0.05));
  try {
    worker.run();
    FAIL() << "it waited for nothing";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::timeout);
  }
}

}  // namespace
}  // namespace lamina
