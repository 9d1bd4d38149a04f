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
#include "small_network.hpp"

namespace lamina {
namespace {

constexpr std::int64_t batch = 6;

// Five training steps with an evaluation and a checkpoint mark between them, a short batch, and the stop
// mark.
std::vector<Packet> stream(at::ScalarType dtype) {
  std::vector<Packet> packets;
  for (int step = 0; step < 5; ++step)
    packets.push_back(testing::train_packet(step, step == 2 ? batch - 2 : batch, dtype));
  Packet eval = testing::train_packet(9, batch, dtype);
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

struct Trial {
  std::vector<ModuleSpec> modules = testing::small_modules();
  StageOptions options{};
  SnapshotPolicy policy{};
  std::vector<std::int64_t> replicas{};  // of each worker's stages
  at::ScalarType dtype = at::kFloat;
};

// Four stages on groups of workers that are threads.
class Job {
 public:
  Job(int num_groups, const Trial& trial) : trial_(trial) {
    const auto cut = cut_into_stages(trial.modules, std::int64_t{4});
    stage_specs_ = make_stage_specs(cut, trial.options.window, true);
    groups_ = make_groups(deal_stages(cut, num_groups), trial.replicas);
    schedule_ = streaming_schedule(groups_);
    for (const ScheduleLane& lane : schedule_.lanes) {
      const ModuleSpec& last = stage_specs_[lane.stage].modules.back();
      lanes_.push_back(packet_lane(
          lane.from, lane.to,
          {.features = last.is_last ? FeatureShape{} : last.out, .batch = batch, .dtype = trial.dtype}, 2));
    }
  }

  Outcome run() {
    const auto num_workers = schedule_.rounds.size();
    const auto transports = make_inprocess_transports(static_cast<int>(num_workers));
    outcome_.accounts.resize(num_workers);
    tensors_.resize(num_workers);
    marked_.resize(num_workers);
    {
      std::vector<std::jthread> threads;
      for (const WorkerGroup& group : groups_)
        for (const int w : group.workers()) threads.emplace_back([&, w] { work(group, *transports[w]); });
    }
    for (const WorkerGroup& group : groups_) {
      append(outcome_.tensors, tensors_[group.first_worker]);
      append(outcome_.marked, marked_[group.first_worker]);
    }
    return outcome_;
  }

 private:
  static void append(std::vector<at::Tensor>& all, const std::vector<at::Tensor>& some) {
    all.insert(all.end(), some.begin(), some.end());
  }

  void work(const WorkerGroup& group, Transport& transport) {
    at::set_num_threads(1);
    transport.open(lanes_);
    const int w = transport.worker();
    const bool is_first_replica = w == group.first_worker;
    SnapshotPlane snapshots(trial_.policy, board_, nullptr, Seconds(60), is_first_replica);
    std::vector<Stage> stages;
    for (int s = group.first_stage; s < group.end_stage; ++s)
      stages.emplace_back(stage_specs_[s], trial_.options, Initializer(1, trial_.dtype));
    for (Stage& stage : stages) {
      snapshots.publish_first(stage, 0, {});
      if (group.replicas > 1)
        stage.share_gradients(
            [&](const std::vector<at::Tensor>& grads) { return transport.sum(group.workers(), grads); },
            Seconds(60));
    }
    Worker worker(schedule_, std::move(stages), transport, lanes_, snapshots, hooks(group, w), Seconds(60));
    worker.run();
    outcome_.accounts[w] = worker.account();
  }

  WorkerHooks hooks(const WorkerGroup& group, int w) {
    WorkerHooks hooks;
    const Replica replica{w - group.first_worker, group.replicas};
    if (group == groups_.front())
      hooks.source = [this, replica, i = 0u]() mutable {
        return piece_of(packets_.at(i++), {}, replica, /*with_reports=*/true);
      };
    hooks.save = [this, w](Stage& stage, const Packet& mark) {
      for (const Stage::Part& part : stage.parts())
        for (const NamedTensor& entry : part.module.tensors())
          (mark.kind == PacketKind::checkpoint ? marked_ : tensors_)[w].push_back(
              entry.tensor.detach().clone());
      return "stage " + std::to_string(stage.index());
    };
    if (w == groups_.back().first_worker)
      hooks.sink = [this](const Packet& packet) { outcome_.left.push_back(packet); };
    return hooks;
  }

  Trial trial_;
  std::vector<Packet> packets_ =
      stream(trial_.dtype);  // drawn before there are threads: they share the generator
  std::vector<StageSpec> stage_specs_;
  std::vector<WorkerGroup> groups_;
  Schedule schedule_;
  std::vector<LaneSpec> lanes_;
  std::shared_ptr<SnapshotBoard> board_ = std::make_shared<SnapshotBoard>(trial_.policy.depth());
  Outcome outcome_;
  std::vector<std::vector<at::Tensor>> tensors_, marked_;  // by worker
};

Outcome train_on(int num_groups, const Trial& trial = {}) {
  return Job(num_groups, trial).run();
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
      return train_on(num_workers,
                      {.modules = testing::small_mlaan_modules(), .options = options, .policy = policy});
    };
    expect_same_bits(train(1), train);
  }
}

TEST(Worker, ReportsHowOldTheVersionsWereThatItUsed) {
  const Outcome outcome = train_on(2, {.modules = testing::small_mlaan_modules(),
                                       .options = {.window = 3},
                                       .policy = {.lag = 2, .every = 2}});
  for (const Packet& packet : outcome.left) {
    if (packet.kind != PacketKind::train) continue;
    const std::int64_t age = packet.step - SnapshotPolicy{.lag = 2, .every = 2}.version_for(packet.step);
    ASSERT_EQ(packet.stages.size(), 4u);
    for (int stage = 0; stage < 3; ++stage) EXPECT_EQ(packet.stages[stage].age_steps, age);
    EXPECT_EQ(packet.stages[3].age_steps, 0) << "the last stage shadows nobody";
  }
}

double relative_difference(const std::vector<at::Tensor>& found, const std::vector<at::Tensor>& expected) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += (found[i] - expected[i]).to(at::kDouble).square().sum().item<double>();
    size += expected[i].to(at::kDouble).square().sum().item<double>();
  }
  return std::sqrt(difference / size);
}

// Without batch norm a batch's gradient is the mean of its samples', wherever they are computed; also of a
// short batch, with windows and averages over the edges, and with groups of unequal size.
TEST(Worker, ReplicasTrainAsOneDoesOnTheWholeBatch) {
  const Trial one{.modules = testing::small_mlaan_modules("none"),
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
  const Trial trial{.modules = testing::small_mlaan_modules(),
                    .options = {.window = 3},
                    .policy = {.lag = 1},
                    .replicas = {3, 2}};
  const Outcome one = train_on(2, trial);
  for (int time = 0; time < 3; ++time) expect_equal(one.tensors, train_on(2, trial).tensors);
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
  const Schedule schedule = streaming_schedule(make_groups({0, 1, 2}));
  const std::vector<LaneSpec> lanes = {
      packet_lane(0, 1, {.features = stage_specs[0].modules.back().out, .batch = batch}, 2)};
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
