#include "lamina/pipeline/whereabouts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "lamina/core/error.hpp"
#include "worker_job.hpp"

namespace lamina {
namespace {

using ::testing::Contains;

TEST(Whereabouts, ReadAsASentenceGoesOn) {
  const auto said = [](Op op, Activity activity, int micro = 0) {
    return text({.step = 7, .op = op, .activity = activity, .stage = 2, .other = 1, .micro = micro});
  };
  EXPECT_EQ(said(Op::receive, Activity::wait_input), "at step 7 in recv from stage 1");
  EXPECT_EQ(said(Op::feed, Activity::wait_input), "at step 7 in feed");
  EXPECT_EQ(said(Op::send, Activity::wait_room), "at step 7 in send to stage 1");
  EXPECT_EQ(said(Op::backward, Activity::compute, 3), "at step 7 in backward of stage 2, micro-batch 3");
  EXPECT_EQ(said(Op::compute, Activity::checkpoint), "at step 7 in checkpoint of stage 2");
  EXPECT_EQ(said(Op::compute, Activity::replicas), "at step 7 in sum with the replicas of stage 2");
}

TEST(Whereabouts, TravelAsNumbersAndNothingElseDoes) {
  const Whereabouts where{.step = 1'000'000'000'000,
                          .op = Op::send,
                          .activity = Activity::send,
                          .stage = 3,
                          .other = 4,
                          .micro = 5};
  EXPECT_EQ(whereabouts(to_numbers(where)), where);
  for (const std::size_t which : {1, 2})
    for (const std::int64_t wrong : {-1, 99}) {
      WhereaboutsNumbers numbers = to_numbers(where);
      numbers[which] = wrong;
      EXPECT_THROW(whereabouts(numbers), Error);
    }
}

TEST(Whereabouts, OnlyWhoWaitsForAWorkerWaits) {
  EXPECT_TRUE(waits_for_peer({.op = Op::receive, .activity = Activity::wait_input}));
  EXPECT_TRUE(waits_for_peer({.op = Op::send, .activity = Activity::wait_room}));
  EXPECT_FALSE(waits_for_peer({.op = Op::feed, .activity = Activity::wait_input}));
  EXPECT_FALSE(waits_for_peer({.op = Op::send, .activity = Activity::send}));
  EXPECT_FALSE(waits_for_peer({.op = Op::finish, .activity = Activity::report}));
}

TEST(ActionBoard, IsIdleUntilSomethingIsShown) {
  const ActionBoard board(0);
  EXPECT_EQ(board.read().moves, 0);
  EXPECT_EQ(board.read().where, Whereabouts());
}

// All numbers of an action are equal, so that one that is read in two halves shows.
TEST(ActionBoard, AReaderSeesWholeActionsInTheirOrder) {
  constexpr int last = 200'000;
  ActionBoard board(1);
  std::jthread worker([&] {
    for (int i = 1; i <= last; ++i) {
      board.show({.step = i, .stage = i, .other = i, .micro = i});
      board.show_lane(0, {.carried = i, .open = 1});
    }
  });
  std::int64_t before = 0;
  while (before < last) {
    const auto [where, moves] = board.read();
    if (moves > 0) {
      ASSERT_EQ(where.step, moves);
      ASSERT_EQ(where.stage, where.step);
      ASSERT_EQ(where.other, where.step);
      ASSERT_EQ(where.micro, where.step);
    }
    ASSERT_GE(moves, before);
    before = moves;
  }
  worker.join();
  EXPECT_EQ(board.lane(0).carried, last);
}

TEST(ActionBoard, ShowsWhatItsWorkerIsInAndWhatItsLanesHaveCarried) {
  const tests::Outcome outcome = tests::train_on(2);
  ASSERT_EQ(outcome.shown.size(), 2u);
  EXPECT_THAT(outcome.shown[0], Contains("at step 2 in feed"));
  EXPECT_THAT(outcome.shown[0], Contains("at step 3 in checkpoint of stage 1"));
  EXPECT_THAT(outcome.shown[1], Contains("at step 3 in checkpoint of stage 2"));
  EXPECT_THAT(outcome.shown[1], Contains("at step 4 in report"));
  const auto num_packets = std::ssize(tests::stream(at::kFloat));
  for (const auto& board : outcome.boards) {
    EXPECT_EQ(board->read().where.activity, Activity::idle);
    ASSERT_EQ(board->num_lanes(), 1u);
    EXPECT_EQ(board->lane(0).carried, num_packets);
  }
}

}  // namespace
}  // namespace lamina
