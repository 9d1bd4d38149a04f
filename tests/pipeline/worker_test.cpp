#include "lamina/pipeline/worker.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <memory>
#include <thread>

#include "lamina/comm/inprocess.hpp"
#include "lamina/core/error.hpp"
#include "lamina/pipeline/stage_cut.hpp"
#include "worker_job.hpp"

namespace lamina {
namespace {

using tests::expect_equal;
using tests::Outcome;
using tests::relative_difference;
using tests::train_on;
using tests::Trial;

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
      return train_on(num_workers,
                      {.modules = tests::small_mlaan_modules(), .options = options, .policy = policy});
    };
    expect_same_bits(train(1), train);
  }
}

// Rounding is the stages' own, so it does not matter whether a stage's output is given to a lane.
TEST(Worker, AnyNumberOfWorkersTrainsTheSameBitsInBFloat16) {
  for (const auto& [precision, rounds_output] :
       {std::pair(Precision::bf16, false), {Precision::bf16, true}, {Precision::fp32, true}}) {
    const StageOptions options{.window = 3, .precision = precision, .rounds_output = rounds_output};
    const auto train = [&](int num_workers) {
      return train_on(num_workers,
                      {.modules = tests::small_mlaan_modules(), .options = options, .policy = {.lag = 1}});
    };
    expect_same_bits(train(1), train);
  }
}

// Whatever is published one step too early or too late, all workers would agree on: the whole network in one
// stage, which shadows nobody, does not.
TEST(Worker, AtLagZeroVersionsAreTheStateBehindTheirSteps) {
  const auto train = [](std::int64_t num_stages) {
    return train_on(1, {.modules = tests::small_mlaan_modules(),
                        .options = {.window = 3},
                        .dtype = at::kDouble,
                        .num_stages = num_stages});
  };
  EXPECT_LT(relative_difference(train(4).tensors, train(1).tensors), 1e-9);
}

TEST(Worker, ReportsHowOldTheVersionsWereThatItUsed) {
  const Outcome outcome = train_on(
      2,
      {.modules = tests::small_mlaan_modules(), .options = {.window = 3}, .policy = {.lag = 2, .every = 2}});
  for (const Packet& packet : outcome.left) {
    if (packet.kind != PacketKind::train) continue;
    const std::int64_t age = packet.step - SnapshotPolicy{.lag = 2, .every = 2}.version_for(packet.step);
    ASSERT_EQ(packet.stages.size(), 4u);
    for (int stage = 0; stage < 3; ++stage) EXPECT_EQ(packet.stages[stage].age_steps, age);
    EXPECT_EQ(packet.stages[3].age_steps, 0) << "the last stage shadows nobody";
  }
}

// Without batch norm a batch's gradient is the mean of its samples', wherever they are computed; also of a
// short batch, with windows and averages over the edges, and with groups of unequal size.
TEST(Worker, ReplicasTrainAsOneDoesOnTheWholeBatch) {
  const Trial one{.modules = tests::small_mlaan_modules("none"),
                  .options = {.window = 3},
                  .policy = {.lag = 1},
                  .dtype = at::kDouble};
  const Outcome expected = train_on(2, one);
  for (const std::vector<std::int64_t>& replicas :
       std::vector<std::vector<std::int64_t>>{{2, 2}, {1, 2}, {3, 1}, {2, 3}, {4, 4}}) {
    SCOPED_TRACE(::testing::PrintToString(replicas));
    Trial trial = one;
    trial.replicas = replicas;
    const Outcome found = train_on(2, trial);
    ASSERT_EQ(found.tensors.size(), expected.tensors.size());
    EXPECT_LT(relative_difference(found.tensors, expected.tensors), 1e-9);
    EXPECT_LT(relative_difference(found.marked, expected.marked), 1e-9);
    ASSERT_EQ(found.left.size(), expected.left.size());
    for (std::size_t i = 0; i < expected.left.size(); ++i) {
      EXPECT_EQ(found.left[i].samples(), expected.left[i].samples());
      ASSERT_EQ(found.left[i].modules.size(), expected.left[i].modules.size());
      for (std::size_t m = 0; m < expected.left[i].modules.size(); ++m)
        for (std::size_t b = 0; b < expected.left[i].modules[m].losses.size(); ++b) {
          const LossReport& loss = expected.left[i].modules[m].losses[b];
          EXPECT_NEAR(found.left[i].modules[m].losses[b].loss, loss.loss, 1e-9 * std::abs(loss.loss));
          EXPECT_EQ(found.left[i].modules[m].losses[b].correct, loss.correct);
        }
    }
  }
}

TEST(Worker, ReplicasTrainTheSameBitsEveryTime) {
  for (const StageOptions& options :
       {StageOptions{.window = 3},
        StageOptions{.window = 3, .precision = Precision::bf16, .rounds_output = true}}) {
    const Trial trial{.modules = tests::small_mlaan_modules(),
                      .options = options,
                      .policy = {.lag = 1},
                      .replicas = {3, 2}};
    const Outcome one = train_on(2, trial);
    for (int time = 0; time < 2; ++time) expect_equal(one.tensors, train_on(2, trial).tensors);
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
    EXPECT_GT(account[Activity::compute], 0);
    EXPECT_LE(account.accounted_s(), account.total_s);
  }
}

TEST(Worker, TellsWhatItWaitedAndHowLargeItIsWithItsStages) {
  const Outcome outcome = train_on(2);
  double told_s = 0, waited_s = 0;
  for (const Packet& packet : outcome.left)
    for (const StageReport& stage : packet.stages) {
      told_s += stage.input_wait_s + stage.room_wait_s;
      if (packet.kind == PacketKind::train) {
        EXPECT_GT(stage.memory_mib, 1);
      }
    }
  for (const Account& account : outcome.accounts)
    waited_s += account[Activity::wait_input] + account[Activity::wait_room];
  EXPECT_GT(told_s, 0);
  EXPECT_LE(told_s, waited_s);
}

TEST(Worker, APeerThatNeverSendsIsATimeout) {
  const auto stage_specs =
      make_stage_specs(cut_into_stages(tests::small_modules(), std::int64_t{2}), 1, true);
  const Schedule schedule = streaming_schedule(make_groups({0, 1, 2}));
  const std::vector<LaneSpec> lanes = {
      packet_lane(0, 1, {.features = stage_specs[0].modules.back().out, .batch = tests::batch}, 2)};
  auto transports = make_inprocess_transports(2);
  std::jthread other([&] { transports[0]->open(lanes); });
  transports[1]->open(lanes);
  std::vector<Stage> stages;
  stages.emplace_back(stage_specs[1], StageOptions{}, Initializer(1));
  SnapshotPlane snapshots({}, std::make_shared<SnapshotBoard>(1), nullptr, Seconds(0.05));
  Worker worker(schedule, std::move(stages), *transports[1], lanes, snapshots, {}, Seconds(0.05));
  try {
    worker.run();
    FAIL() << "it waited for nothing";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::timeout);
  }
}

}  // namespace
}  // namespace lamina
