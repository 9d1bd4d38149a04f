#include "lamina/pipeline/schedule.hpp"

#include <gmock/gmock.h>

#include <map>

#include "lamina/core/error.hpp"

namespace lamina {
namespace {

using ::testing::HasSubstr;

TEST(StreamingSchedule, OneWorkerFeedsComputesAndFinishesWithoutALane) {
  const Schedule schedule = streaming_schedule(make_groups({0, 3}));
  EXPECT_TRUE(schedule.lanes.empty());
  const std::vector<Action> expected = {
      {Op::feed, 0}, {Op::compute, 0}, {Op::compute, 1}, {Op::compute, 2}, {Op::finish, 2}};
  EXPECT_EQ(schedule.rounds, std::vector<std::vector<Action>>{expected});
}

TEST(StreamingSchedule, NeighboursShareALaneAndNothingFlowsBack) {
  const Schedule schedule = streaming_schedule(make_groups({0, 1, 3, 4}));
  ASSERT_EQ(schedule.lanes.size(), 2u);
  for (const ScheduleLane& lane : schedule.lanes) EXPECT_EQ(lane.to, lane.from + 1);
  EXPECT_EQ(schedule.rounds[1].front(), (Action{Op::receive, 1, 0}));
  EXPECT_EQ(schedule.rounds[1].back(), (Action{Op::send, 2, 1}));
}

TEST(StreamingSchedule, FillsOnceAndThenEveryWorkerIsBusyInEverySlot) {
  constexpr int packets = 9;
  const Grid grid = play(streaming_schedule(make_groups({0, 1, 2, 3, 4})), packets, 2);
  for (int w = 0; w < 4; ++w)
    for (int p = 0; p < packets; ++p)
      EXPECT_EQ(grid.cells[w][w + p], "s" + std::to_string(w) + ":" + std::to_string(p));
  EXPECT_EQ(text(grid).substr(0, 30), "worker 0   s0:0 s0:1 s0:2 s0:3");
}

TEST(StreamingSchedule, ASlowerWorkerHoldsTheOthersBackByTheLanesBuffers) {
  // Worker 1 has three stages, so worker 0 idles two slots of three once the lane is full.
  const Grid grid = play(streaming_schedule(make_groups({0, 1, 4})), 12, 2);
  std::size_t busy = 0;
  for (std::size_t slot = 6; slot < 30; ++slot) busy += grid.cells[0][slot].empty() ? 0 : 1;
  EXPECT_LE(busy, 9u);
}

// From and to which worker, and which shares have samples in common.
std::vector<std::pair<int, int>> ends(const Schedule& schedule) {
  std::vector<std::pair<int, int>> ends;
  for (const ScheduleLane& lane : schedule.lanes) ends.emplace_back(lane.from, lane.to);
  return ends;
}

TEST(StreamingSchedule, ReplicasOfEqualNumberHaveALaneEachAndTheLastGroupJoinsAtItsFirst) {
  const Schedule schedule = streaming_schedule(make_groups({0, 1, 2}, {2, 2}));
  EXPECT_EQ(ends(schedule), (std::vector<std::pair<int, int>>{{0, 2}, {1, 3}, {3, 2}}));
  const std::vector<Action> sink = {{Op::receive, 1, 0}, {Op::compute, 1}, {Op::join, 1, 2}, {Op::finish, 1}};
  EXPECT_EQ(schedule.rounds[2], sink);
  EXPECT_EQ(schedule.rounds[3].back(), (Action{Op::send, 1, 2}));
}

TEST(StreamingSchedule, ReplicasOfUnequalNumberMeetWhereTheyShareSamples) {
  const Schedule schedule = streaming_schedule(make_groups({0, 1, 2}, {2, 3}));
  EXPECT_EQ(ends(schedule),
            (std::vector<std::pair<int, int>>{{0, 2}, {0, 3}, {1, 3}, {1, 4}, {3, 2}, {4, 2}}));
  const std::vector<Action> middle = {
      {Op::receive, 1, 1}, {Op::join, 1, 2}, {Op::compute, 1}, {Op::send, 1, 4}};
  EXPECT_EQ(schedule.rounds[3], middle);
}

TEST(StreamingSchedule, EverySenderGivesItsReportsToOneReceiver) {
  for (const std::int64_t from : {1, 2, 3, 5})
    for (const std::int64_t to : {1, 2, 3, 4}) {
      const Schedule schedule = streaming_schedule(make_groups({0, 1, 2}, {from, to}));
      std::map<int, int> receivers;
      for (const ScheduleLane& lane : schedule.lanes)
        if (lane.stage == 0) receivers[lane.from] += lane.with_reports ? 1 : 0;
      EXPECT_EQ(receivers.size(), static_cast<std::size_t>(from));
      for (const auto& [sender, with_reports] : receivers) EXPECT_EQ(with_reports, 1) << sender;
      play(schedule, 12, 2);
    }
}

TEST(Schedule, WorkersThatWaitForOneAnotherAreFoundOut) {
  Schedule crossed{.name = "crossed", .num_stages = 2, .rounds = {}, .lanes = {{0, 1, 0}, {1, 0, 1}}};
  crossed.rounds = {{{Op::receive, 0, 1}, {Op::compute, 0}, {Op::send, 0, 0}},
                    {{Op::receive, 1, 0}, {Op::compute, 1}, {Op::send, 1, 1}}};
  try {
    play(crossed, 1, 2);
    FAIL() << "the deadlock was not found";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::contract);
    EXPECT_THAT(e.what(), HasSubstr("worker 0 at receive of stage 0, packet 0"));
    EXPECT_THAT(e.what(), HasSubstr("worker 1 at receive of stage 1, packet 0"));
  }
}

}  // namespace
}  // namespace lamina
