#include "lamina/pipeline/schedule_play.hpp"

#include <gmock/gmock.h>

#include <map>

#include "lamina/core/error.hpp"

namespace lamina {
namespace {

using ::testing::HasSubstr;

constexpr Carrier carriers[] = {Carrier::separate_lanes, Carrier::nccl};

// Every stage on workers of its own.
Schedule chain(int num_stages, const std::vector<std::int64_t>& replicas = {}) {
  std::vector<int> first_stage;
  for (int stage = 0; stage <= num_stages; ++stage) first_stage.push_back(stage);
  return streaming_schedule(make_groups(first_stage, replicas));
}

// Every stage shadows parts of all later ones, as leaps and windows can.
SnapshotTraffic all_read_all(int num_stages, std::int64_t lag, std::int64_t every = 1) {
  SnapshotTraffic traffic{.policy = {.lag = lag, .every = every}};
  traffic.reads.resize(static_cast<std::size_t>(num_stages));
  for (int stage = 0; stage < num_stages; ++stage)
    for (int owner = stage + 1; owner < num_stages; ++owner)
      traffic.reads[static_cast<std::size_t>(stage)].push_back(owner);
  return traffic;
}

bool accepts(const Schedule& schedule, const PlayOptions& options) {
  try {
    require_no_deadlock(schedule, options);
    return true;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::contract);
    return false;
  }
}

// By worker, op, and packet; of joins the last.
using Record = std::map<std::tuple<int, Op, std::int64_t>, Played>;

Record played(const Schedule& schedule, const PlayOptions& options) {
  Record record;
  play(schedule, options, [&](const Played& p) { record[{p.worker, p.action.op, p.packet}] = p; });
  return record;
}

// Each stage takes its own time, everything else none.
auto stages_take(std::vector<double> stage_s) {
  return [stage_s](int, const Action& action, std::int64_t) {
    return action.op == Op::compute ? stage_s.at(static_cast<std::size_t>(action.stage)) : 0.0;
  };
}

std::string error_of(const Schedule& schedule, const PlayOptions& options) {
  try {
    play(schedule, options, nullptr);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::contract);
    return error.what();
  }
  return "nothing was thrown";
}

TEST(SchedulePlay, StreamingWaitsForNobodyForeverWhateverLagBuffersAndReplicas) {
  const std::vector<std::vector<std::int64_t>> all_replicas = {
      {1}, {3}, {1, 1}, {2, 1}, {1, 3}, {1, 1, 1}, {2, 2, 2}, {2, 3, 1}, {3, 1, 2, 2}, {1, 1, 1, 1, 1}};
  for (const std::vector<std::int64_t>& replicas : all_replicas) {
    const auto num_stages = static_cast<int>(replicas.size());
    const Schedule schedule = chain(num_stages, replicas);
    for (const Carrier carrier : carriers)
      for (const std::int64_t lag : {0, 1, 2, 7})
        for (const std::int64_t every : {1, 3})
          for (const int buffers : {2, 3, 5})
            EXPECT_TRUE(accepts(
                schedule,
                {.buffers = buffers, .carrier = carrier, .snapshots = all_read_all(num_stages, lag, every)}))
                << testing::PrintToString(replicas) << " lag " << lag << " every " << every << " buffers "
                << buffers;
  }
}

// Stage w's message waits for step t+1's of the stage before, so stage 0 is num_stages-2 steps ahead of the
// last: that many versions have to be allowed to be missing.
TEST(SchedulePlay, AReceiveBeforeTheSendNeedsALagOfAStepForEveryMiddleStage) {
  for (int num_stages = 2; num_stages <= 6; ++num_stages)
    for (std::int64_t lag = 0; lag <= 6; ++lag)
      for (const int buffers : {2, 4})
        EXPECT_EQ(accepts(chain(num_stages), {.buffers = buffers,
                                              .carrier = Carrier::nccl_prefetching,
                                              .snapshots = all_read_all(num_stages, lag)}),
                  lag >= num_stages - 2)
            << num_stages << " stages, lag " << lag;
}

TEST(SchedulePlay, AReceiveBeforeTheSumHangsReplicas) {
  EXPECT_TRUE(accepts(chain(2, {1, 2}), {.carrier = Carrier::nccl, .snapshots = all_read_all(2, 0)}));
  EXPECT_FALSE(
      accepts(chain(2, {1, 2}), {.carrier = Carrier::nccl_prefetching, .snapshots = all_read_all(2, 0)}));
}

TEST(SchedulePlay, AStepBeginsOnceTheVersionsThatItNeedsAreThere) {
  for (const Carrier carrier : carriers)
    for (const std::int64_t lag : {0, 2}) {
      PlayOptions options{.packets = 12, .carrier = carrier, .snapshots = all_read_all(3, lag)};
      options.seconds = stages_take({1, 2, 4});
      const Record record = played(chain(3), options);
      for (std::int64_t step = 0; step < 12; ++step)
        for (const int reader : {0, 1})
          for (int owner = reader + 1; owner < 3; ++owner)
            if (step - lag >= 1) {
              EXPECT_GE(record.at({reader, Op::compute, step}).began_s,
                        record.at({owner, Op::compute, step - lag - 1}).ended_s);
            }
      // At lag 0 the stages take turns.
      const double end_s = record.at({2, Op::finish, 11}).ended_s;
      EXPECT_EQ(end_s < 12 * 7.0, lag > 0);
      EXPECT_LE(end_s, 12 * 7.0);
    }
}

TEST(SchedulePlay, ASnapshotTakesItsWay) {
  PlayOptions options{.packets = 10, .snapshots = all_read_all(2, 0)};
  options.seconds = stages_take({1, 1});
  options.snapshots.fill_s = {0.25, 0};
  options.snapshots.publish_s = {0, 0.5};
  options.snapshots.link = [](int, int) { return LinkTime{.occupied_s = 1, .latency_s = 2}; };
  const Record record = played(chain(2), options);
  for (std::int64_t step = 1; step < 10; ++step) {
    const Played& before = record.at({1, Op::compute, step - 1});
    EXPECT_DOUBLE_EQ(record.at({0, Op::compute, step}).began_s, before.ended_s + 1 + 2 + 0.25);
    EXPECT_DOUBLE_EQ(before.ended_s, before.began_s + 1 + 0.5);
  }
}

TEST(SchedulePlay, ASenderIsAheadByTheLanesBuffers) {
  for (const int buffers : {2, 3, 6}) {
    PlayOptions options{.packets = 20, .buffers = buffers};
    options.seconds = stages_take({1, 10});
    const Record record = played(chain(2), options);
    for (std::int64_t packet = buffers; packet < 20; ++packet)
      EXPECT_DOUBLE_EQ(record.at({0, Op::send, packet}).ended_s,
                       std::max(record.at({0, Op::send, packet}).came_s,
                                record.at({1, Op::receive, packet - buffers}).ended_s));
    EXPECT_DOUBLE_EQ(record.at({0, Op::send, 19}).waited_s, 9);
  }
}

TEST(SchedulePlay, TheSlowestStageOrLinkSetsThePace) {
  for (const Carrier carrier : carriers)
    for (const double link_s : {0.5, 7.0}) {
      PlayOptions options{.packets = 100, .carrier = carrier};
      options.seconds = stages_take({1, 3, 2, 1});
      options.link = [&](int lane) { return lane == 1 ? LinkTime{.occupied_s = link_s} : LinkTime{}; };
      const Record record = played(chain(4), options);
      const double last_s = record.at({3, Op::finish, 99}).ended_s,
                   before_s = record.at({3, Op::finish, 98}).ended_s;
      // Over NCCL a worker's next receive, and so its next step, begins once its send has ended.
      const double expected_s = carrier == Carrier::nccl ? 3.0 + link_s : std::max(3.0, link_s);
      EXPECT_NEAR(last_s - before_s, expected_s, 1e-9);
    }
}

// Its group of sends and the receive that was asked for ends as one.
TEST(SchedulePlay, OverNcclAReceiveIsThereOnceTheSendBeforeItHasBeenTaken) {
  PlayOptions options{.packets = 10, .carrier = Carrier::nccl};
  options.seconds = stages_take({1, 1, 5, 1});
  const Record over_nccl = played(chain(4), options);
  options.carrier = Carrier::separate_lanes;
  const Record apart = played(chain(4), options);
  for (std::int64_t packet = 1; packet < 10; ++packet)
    EXPECT_GE(over_nccl.at({1, Op::receive, packet}).ended_s,
              over_nccl.at({2, Op::receive, packet - 1}).came_s);
  EXPECT_LT(apart.at({1, Op::receive, 2}).ended_s, apart.at({2, Op::receive, 1}).came_s);
}

TEST(SchedulePlay, ReplicasWaitForTheSlowestOfThem) {
  for (const Carrier carrier : carriers) {
    PlayOptions options{.packets = 5, .carrier = carrier};
    options.seconds = [](int worker, const Action& action, std::int64_t) {
      return action.op == Op::compute ? 1.0 + worker : 0.0;
    };
    options.sum_s = [](int) { return 0.5; };
    const Record record = played(chain(1, {3}), options);
    for (std::int64_t packet = 0; packet < 5; ++packet)
      for (int worker = 0; worker < 3; ++worker) {
        EXPECT_DOUBLE_EQ(record.at({worker, Op::compute, packet}).ended_s,
                         record.at({2, Op::compute, packet}).began_s + 3.0 + 0.5);
        EXPECT_DOUBLE_EQ(record.at({worker, Op::compute, packet}).busy_s, 1.0 + worker);
      }
  }
}

TEST(SchedulePlay, EverySecondOfAWorkerHasAName) {
  for (const Carrier carrier : carriers) {
    PlayOptions options{.packets = 30, .buffers = 3, .carrier = carrier, .snapshots = all_read_all(3, 2)};
    options.seconds = [](int worker, const Action& action, std::int64_t packet) {
      return action.op == Op::compute ? 1.0 + 0.1 * static_cast<double>((7 * packet + 3 * worker) % 5) : 0.01;
    };
    options.snapshots.fill_s = {0.1, 0.1, 0};
    options.sum_s = [](int) { return 0.3; };
    options.link = [](int) { return LinkTime{0.2, 0.1}; };
    std::vector<double> then_s(4, 0.0);
    play(chain(3, {1, 2, 1}), options, [&](const Played& p) {
      EXPECT_DOUBLE_EQ(p.came_s, then_s[static_cast<std::size_t>(p.worker)]);
      EXPECT_NEAR(p.ended_s - p.came_s, p.waited_s + p.snapshot_s + p.busy_s + p.replicas_s, 1e-9);
      then_s[static_cast<std::size_t>(p.worker)] = p.ended_s;
    });
  }
}

TEST(SchedulePlay, MessagesThatNobodyTakesAreFoundOut) {
  Schedule lost{.name = "lost", .num_stages = 2, .rounds = {}, .lanes = {{0, 1, 0}}};
  lost.rounds = {{{Op::feed, 0}, {Op::compute, 0}, {Op::send, 0, 0}}, {{Op::compute, 1}}};
  EXPECT_THAT(error_of(lost, {.packets = 3}),
              HasSubstr("worker 0 sends 3 messages on lane 0, but worker 1 takes 0"));
}

// Two lanes of one direction, sent in one order and taken in the other: each message finds its receive where
// lanes are apart, but NCCL knows no lanes.
TEST(SchedulePlay, OverNcclLanesBetweenTwoWorkersAreTakenInTheOrderOfTheSends) {
  Schedule swapped{.name = "swapped", .num_stages = 2, .rounds = {}, .lanes = {{0, 1, 0}, {0, 1, 0}}};
  swapped.rounds = {{{Op::feed, 0}, {Op::compute, 0}, {Op::send, 0, 0}, {Op::send, 0, 1}},
                    {{Op::receive, 1, 1}, {Op::join, 1, 0}, {Op::compute, 1}}};
  EXPECT_EQ(error_of(swapped, {.packets = 3}), "nothing was thrown");
  EXPECT_THAT(error_of(swapped, {.packets = 3, .carrier = Carrier::nccl}), HasSubstr("lane 0 meets lane 1"));
}

// A backward comes back on a lane of its own; the last stage answers every micro-batch.
Schedule there_and_back() {
  Schedule schedule{.name = "there and back",
                    .num_stages = 2,
                    .rounds = {},
                    .lanes = {{0, 1, 0}, {.from = 1, .to = 0, .stage = 0, .gradient = true}},
                    .micro_batches = 2};
  const auto micro = [](Op op, int stage, int number, int lane = -1) {
    return Action{op, stage, lane, number};
  };
  schedule.rounds = {{{Op::feed, 0},
                      micro(Op::forward, 0, 0),
                      micro(Op::send, 0, 0, 0),
                      micro(Op::forward, 0, 1),
                      micro(Op::send, 0, 1, 0),
                      micro(Op::receive, 0, 0, 1),
                      micro(Op::backward, 0, 0),
                      micro(Op::receive, 0, 1, 1),
                      micro(Op::backward, 0, 1),
                      {Op::update, 0}},
                     {micro(Op::receive, 1, 0, 0),
                      micro(Op::forward, 1, 0),
                      micro(Op::backward, 1, 0),
                      micro(Op::send, 0, 0, 1),
                      micro(Op::receive, 1, 1, 0),
                      micro(Op::forward, 1, 1),
                      micro(Op::backward, 1, 1),
                      micro(Op::send, 0, 1, 1),
                      {Op::update, 1},
                      {Op::finish, 1}}};
  return schedule;
}

TEST(SchedulePlay, GradientsComeBack) {
  for (const Carrier carrier : carriers) EXPECT_TRUE(accepts(there_and_back(), {.carrier = carrier}));
  const Grid grid = play(there_and_back(), 2, 2);
  const std::vector<std::string> first = {"f0:0.0", "f0:0.1", "", "b0:0.0", "", "b0:0.1",
                                          "f0:1.0", "f0:1.1", "", "b0:1.0", "", "b0:1.1"};
  const std::vector<std::string> last = {"", "f1:0.0", "b1:0.0", "f1:0.1", "b1:0.1", "",
                                         "", "f1:1.0", "b1:1.0", "f1:1.1", "b1:1.1", ""};
  EXPECT_EQ(grid.cells, (std::vector<std::vector<std::string>>{first, last}));
}

}  // namespace
}  // namespace lamina
