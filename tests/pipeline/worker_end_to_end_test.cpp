#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "naive_step.hpp"
#include "worker_job.hpp"

namespace lamina {
namespace {

using tests::expect_equal;
using tests::NaiveStep;
using tests::Outcome;
using tests::relative_difference;
using tests::small_end_to_end_modules;
using tests::train_on;
using tests::Trial;

Trial trial_of(const std::string& schedule, int micro_batches, bool recompute = false,
               const std::string& norm = "none") {
  return {.modules = small_end_to_end_modules(norm),
          .options = {.recompute = recompute},
          .dtype = norm == "none" ? at::kDouble : at::kFloat,
          .schedule = schedule,
          .micro_batches = micro_batches};
}

// The whole network's tensors after the stream's training steps, by plain autograd; in the stages' order.
std::vector<at::Tensor> naive_outcome() {
  NaiveStep naive(small_end_to_end_modules("none", 1), {}, Initializer(1, at::kDouble));
  for (const Packet& packet : tests::stream(at::kDouble))
    if (packet.kind == PacketKind::train) naive.step(packet);
  std::vector<at::Tensor> tensors;
  const Initializer blank = Initializer(0).blank();
  for (const ModuleSpec& spec : small_end_to_end_modules())
    for (const NamedTensor& entry : Module(spec, blank).tensors())
      tensors.push_back(naive.tensors().at(entry.name).detach());
  return tensors;
}

void expect_same(const Outcome& found, const Outcome& expected) {
  expect_equal(found.tensors, expected.tensors);
  expect_equal(found.marked, expected.marked);
  ASSERT_EQ(found.left.size(), expected.left.size());
  for (std::size_t i = 0; i < found.left.size(); ++i) {
    const Packet &a = found.left[i], &b = expected.left[i];
    EXPECT_EQ(a.kind, b.kind);
    EXPECT_EQ(a.step, b.step);
    EXPECT_EQ(a.samples(), b.samples());
    EXPECT_EQ(a.notes, b.notes);
    if (a.is_mark()) continue;
    EXPECT_EQ(a.modules.back().losses.back().loss, b.modules.back().losses.back().loss);
    EXPECT_EQ(a.modules.back().losses.back().correct, b.modules.back().losses.back().correct);
  }
}

TEST(WorkerEndToEnd, SchedulesThatFlushTrainAsPlainAutogradDoes) {
  const std::vector<at::Tensor> expected = naive_outcome();
  for (const char* schedule : {"gpipe", "1f1b", "interleaved_1f1b"})
    for (const int workers : {2, 4})
      for (const int micro_batches : {workers, 4}) {
        SCOPED_TRACE(std::string(schedule) + " " + std::to_string(workers));
        const Outcome found = train_on(workers, trial_of(schedule, micro_batches, workers == 2));
        ASSERT_EQ(found.tensors.size(), expected.size());
        EXPECT_LT(relative_difference(found.tensors, expected), 1e-9);
      }
}

TEST(WorkerEndToEnd, ReplicasThatAddUpMicroBatchesTrainAsPlainAutogradDoes) {
  const std::vector<at::Tensor> expected = naive_outcome();
  for (const int replicas : {1, 2}) {
    Trial trial = trial_of("data_parallel", 2);
    trial.replicas = {replicas};
    trial.num_stages = 1;
    const Outcome found = train_on(1, trial);
    EXPECT_LT(relative_difference(found.tensors, expected), 1e-9) << replicas;
    EXPECT_EQ(found.left.front().samples(), tests::batch);
  }
}

// Micro-batches are what batch norm sees, so their number is part of what is computed; the order of forwards
// and backwards, and how many workers share the stages, is not.
TEST(WorkerEndToEnd, ScheduleAndWorkersChangeNoBit) {
  const Outcome one = train_on(1, trial_of("gpipe", 4, false, "batch"));
  for (const char* schedule : {"gpipe", "1f1b", "interleaved_1f1b"})
    for (const int workers : {1, 2, 3, 4}) {
      const std::string name = schedule;
      if (name == "interleaved_1f1b" && workers == 3) continue;
      SCOPED_TRACE(name + " " + std::to_string(workers));
      expect_same(train_on(workers, trial_of(name, 4, workers == 4, "batch")), one);
    }
}

// Gradients travel as activations do.
TEST(WorkerEndToEnd, ScheduleAndWorkersChangeNoBitInBFloat16) {
  for (const auto& [precision, rounds_output] :
       {std::pair(Precision::bf16, false), {Precision::bf16, true}, {Precision::fp32, true}}) {
    const auto trial = [&](const char* schedule, bool recompute) {
      Trial made = trial_of(schedule, 4, recompute, "batch");
      made.options.precision = precision;
      made.options.rounds_output = rounds_output;
      return made;
    };
    const Outcome one = train_on(1, trial("gpipe", false));
    for (const char* schedule : {"gpipe", "1f1b"}) expect_same(train_on(3, trial(schedule, true)), one);
  }
}

TEST(WorkerEndToEnd, WorkersChangeNoBitOfTwoVersionsAndNoMarkDoes) {
  const Outcome one = train_on(1, trial_of("2bw", 4, false, "batch"));
  for (const int workers : {2, 3, 4}) {
    SCOPED_TRACE(workers);
    expect_same(train_on(workers, trial_of("2bw", 4, workers == 3, "batch")), one);
  }
  const Outcome undelayed = train_on(2, trial_of("1f1b", 4, false, "batch"));
  EXPECT_FALSE(at::equal(undelayed.marked.front(), one.marked.front()));
}

// The most graphs that a worker's stage holds while it goes through its round by itself.
std::size_t most_open(const std::string& schedule, int worker, int num_workers, int micro_batches) {
  const auto specs =
      make_stage_specs(cut_into_stages(small_end_to_end_modules(), std::int64_t{num_workers}), 1, true);
  Stage stage(specs[worker], {.micro_batches = micro_batches}, Initializer(1, at::kDouble));
  const FeatureShape& in = specs[worker].modules.front().in;
  Packet packet = tests::train_packet(0, 2 * micro_batches, at::kDouble);
  packet.x_BCHW = at::randn({packet.batch, in.channels, in.height, in.width}, at::kDouble)
                      .contiguous(at::MemoryFormat::ChannelsLast);
  std::vector<int> first_stage(num_workers + 1);
  std::iota(first_stage.begin(), first_stage.end(), 0);
  std::size_t most = 0;
  std::map<int, at::Tensor> grads;
  const Schedule whole = end_to_end_schedule(schedule, make_groups(first_stage), micro_batches);
  for (const Action& action : whole.rounds[worker]) {
    if (action.op == Op::forward)
      grads[action.micro] =
          stage.forward(micro_batch(packet, action.micro, micro_batches), action.micro).x_BCHW;
    if (action.op == Op::backward) stage.backward(action.micro, grads.at(action.micro));
    most = std::max(most, stage.num_open());
  }
  EXPECT_EQ(stage.num_open(), 0U);
  return most;
}

TEST(WorkerEndToEnd, OneForwardOneBackwardHoldsAGraphForItselfAndEachWorkerBehind) {
  for (int worker = 0; worker < 4; ++worker) {
    EXPECT_EQ(most_open("1f1b", worker, 4, 6), 4U - worker);
    EXPECT_EQ(most_open("gpipe", worker, 4, 6), 6U);
  }
}

TEST(WorkerEndToEnd, ReportsAndAccountsCountEveryStage) {
  for (const char* schedule : {"1f1b", "2bw"}) {
    const Outcome outcome = train_on(2, trial_of(schedule, 4));
    for (const Packet& packet : outcome.left) {
      if (packet.kind != PacketKind::train) continue;
      ASSERT_EQ(packet.stages.size(), 4U);
      for (const StageReport& stage : packet.stages) EXPECT_GT(stage.compute_s, 0);
    }
    for (const Account& account : outcome.accounts) {
      EXPECT_GT(account[Activity::compute], 0);
      EXPECT_LE(account.accounted_s(), account.total_s);
    }
  }
}

}  // namespace
}  // namespace lamina
