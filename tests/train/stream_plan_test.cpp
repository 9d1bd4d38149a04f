#include "lamina/train/stream_plan.hpp"

#include <gtest/gtest.h>

#include <tuple>

namespace lamina {
namespace {

RunConfig config(std::int64_t epochs, std::int64_t batch) {
  RunConfig run;
  run.train.epochs = epochs;
  run.train.batch = batch;
  return run;
}

std::vector<StreamItem> all(StreamPlan plan) {
  std::vector<StreamItem> items;
  do {
    items.push_back(plan.next());
  } while (items.back().packet.kind != PacketKind::stop);
  return items;
}

// t a training step, e an evaluation's batch, c a checkpoint, s the stop.
std::string letters(const std::vector<StreamItem>& items) {
  std::string text;
  for (const StreamItem& item : items) text += "tecs"[static_cast<int>(item.packet.kind)];
  return text;
}

TEST(StreamPlan, AnEpochEndsWithAnEvaluationAndTheRunWithAStop) {
  EXPECT_EQ(letters(all(StreamPlan(config(2, 4), 10, 6, {}))),
            "tttee"
            "tttee"
            "s");
}

TEST(StreamPlan, CheckpointsFollowTheEvaluationOfTheirStep) {
  RunConfig run = config(2, 5);
  run.train.eval_every_steps = 2;
  run.checkpoint.every_steps = 2;
  EXPECT_EQ(letters(all(StreamPlan(run, 10, 5, {}))),
            "ttec"
            "tte"
            "s");
  run.checkpoint.every_steps = 3;
  EXPECT_EQ(letters(all(StreamPlan(run, 10, 5, {}))),
            "tte"
            "tc"
            "te"
            "s");
}

TEST(StreamPlan, EveryTrainingImageIsAskedForOnceAnEpochInItsOrderAndTheLastBatchIsShort) {
  using Batch = std::tuple<std::int64_t, std::int64_t, std::int64_t>;  // epoch, first, count
  std::vector<Batch> asked;
  for (const StreamItem& item : all(StreamPlan(config(2, 4), 10, 4, {}))) {
    if (item.packet.kind != PacketKind::train) continue;
    EXPECT_TRUE(item.batch.training);
    EXPECT_EQ(item.packet.epoch, item.batch.epoch);
    asked.emplace_back(item.batch.epoch, item.batch.first, item.batch.count);
  }
  EXPECT_EQ(asked, (std::vector<Batch>{{0, 0, 4}, {0, 4, 4}, {0, 8, 2}, {1, 0, 4}, {1, 4, 4}, {1, 8, 2}}));
}

TEST(StreamPlan, MaxStepsCutsTheRunShortWithAnEvaluation) {
  RunConfig run = config(9, 5);
  run.train.max_steps = 3;
  const auto items = all(StreamPlan(run, 10, 5, {}));
  EXPECT_EQ(letters(items),
            "tte"
            "te"
            "s");
  EXPECT_EQ(items.back().packet.step, 3);
  EXPECT_EQ(items.back().packet.total_steps, 3);
  EXPECT_TRUE(items.back().packet.evaluated);
}

TEST(StreamPlan, ResumedAnywhereItGoesOnAsIfItHadNeverStopped) {
  RunConfig run = config(3, 4);
  run.train.eval_every_steps = 2;
  run.checkpoint.every_steps = 3;
  const auto whole = all(StreamPlan(run, 10, 8, {}));
  for (std::size_t stop = 1; stop < whole.size(); ++stop) {
    StreamPlan before(run, 10, 8, {});
    for (std::size_t i = 0; i < stop; ++i) before.next();
    const Packet mark = before.stop_here().packet;
    const auto rest = all(StreamPlan(run, 10, 8, {.step = mark.step, .evaluated = mark.evaluated}));
    // A checkpoint's mark at the very stop is not repeated, and an evaluation cut short begins anew.
    std::size_t at = stop;
    while (whole[at].packet.kind == PacketKind::checkpoint) ++at;
    while (whole[at].packet.kind == PacketKind::eval && whole[at].batch.first > 0) --at;
    ASSERT_EQ(letters(rest), letters(whole).substr(at)) << "stopped before item " << stop;
    for (std::size_t i = 0; i < rest.size(); ++i) {
      EXPECT_EQ(rest[i].packet.step, whole[at + i].packet.step);
      EXPECT_EQ(rest[i].packet.lr, whole[at + i].packet.lr);
      EXPECT_EQ(rest[i].batch.epoch, whole[at + i].batch.epoch);
      EXPECT_EQ(rest[i].batch.first, whole[at + i].batch.first);
    }
  }
}

// What follows after `before` items if a checkpoint is asked for there.
std::string asked_after(std::size_t before, const RunConfig& run) {
  StreamPlan plan(run, 10, 6, {});
  for (std::size_t i = 0; i < before; ++i) plan.next();
  plan.save_soon();
  return letters(all(plan));
}

TEST(StreamPlan, ACheckpointThatIsAskedForComesBeforeTheNextTrainingStep) {
  const RunConfig run = config(2, 4);
  const std::string epoch = "tttees";
  EXPECT_EQ(asked_after(0, run), "ctttee" + epoch);
  EXPECT_EQ(asked_after(1, run), "cttee" + epoch);
  EXPECT_EQ(asked_after(3, run), "eec" + epoch) << "an evaluation begins anew on resume: it is let go first";
  EXPECT_EQ(asked_after(4, run), "ec" + epoch);
}

TEST(StreamPlan, ACheckpointIsNotAskedForTwiceAtAStep) {
  RunConfig run = config(2, 5);
  run.train.eval_every_steps = 2;
  run.checkpoint.every_steps = 2;
  EXPECT_EQ(letters(all(StreamPlan(run, 10, 6, {}))), "tteecttees");
  EXPECT_EQ(asked_after(4, run), "cttees") << "the plan's own is still to come";
  EXPECT_EQ(asked_after(5, run), "ttees") << "it has just been";
  EXPECT_EQ(asked_after(9, run), "s") << "the stop saves as well";
}

TEST(StreamPlan, AFinishedRunResumedStopsAtOnce) {
  EXPECT_EQ(letters(all(StreamPlan(config(1, 5), 10, 5, {.step = 2, .evaluated = true}))), "s");
}

TEST(StreamPlan, AnEvaluationsLastItemIsForeseen) {
  StreamPlan plan(config(2, 4), 10, 6, {});
  for (StreamItem item; item.packet.kind != PacketKind::stop;) {
    const bool foreseen = plan.closes_evaluation();
    item = plan.next();
    EXPECT_EQ(item.packet.closes_evaluation, foreseen);
  }
}

TEST(StreamPlan, EvaluationOnlyHasNoTrainingStep) {
  const auto items = all(StreamPlan::evaluation_only(config(9, 4), 10, 70));
  EXPECT_EQ(letters(items),
            "eee"
            "s");
  EXPECT_EQ(items.front().packet.step, 70);
}

}  // namespace
}  // namespace lamina
