#include "lamina/pipeline/end_to_end_schedule.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "lamina/core/error.hpp"
#include "lamina/pipeline/schedule_play.hpp"

namespace lamina {
namespace {

using ::testing::HasSubstr;
using Key = std::pair<int, int>;  // a stage and a micro-batch

struct Shape {
  int workers, stages, micro_batches;
};

std::vector<WorkerGroup> contiguous(int num_stages, int num_workers) {
  std::vector<int> first;
  for (int w = 0; w <= num_workers; ++w) first.push_back(num_stages * w / num_workers);
  return make_groups(first);
}

Schedule schedule_of(const std::string& name, const Shape& shape) {
  if (name == "data_parallel")
    return end_to_end_schedule(name, make_groups({0, 1}, {shape.workers}), shape.micro_batches);
  return end_to_end_schedule(
      name,
      name == "interleaved_1f1b"
          ? interleaved_groups(shape.stages, std::vector<std::int64_t>(shape.workers, 1))
          : contiguous(shape.stages, shape.workers),
      shape.micro_batches);
}

// Calls check(schedule, shape) for every name, up to five workers with one or two stages each.
template <class Check>
void for_each_schedule(const Check& check) {
  int checked = 0;
  for (const std::string& name : end_to_end_schedule_names())
    for (int workers = 1; workers <= 5; ++workers)
      for (int turns = 1; turns <= 2; ++turns)
        for (int micro_batches = 1; micro_batches <= 10; ++micro_batches) {
          const Shape shape{workers, name == "data_parallel" ? 1 : workers * turns, micro_batches};
          if (name == "interleaved_1f1b" && micro_batches % workers != 0) continue;
          if (name == "2bw" && micro_batches < workers - 1) continue;
          SCOPED_TRACE(name + " of " + std::to_string(workers) + " workers, " + std::to_string(shape.stages) +
                       " stages, " + std::to_string(micro_batches) + " micro-batches");
          check(schedule_of(name, shape), shape);
          ++checked;
        }
  EXPECT_GT(checked, 400);
}

TEST(EndToEndSchedule, EveryStageGoesForwardAndBackWithEveryMicroBatchInOrderAndThenUpdates) {
  for_each_schedule([](const Schedule& schedule, const Shape& shape) {
    ASSERT_EQ(static_cast<int>(schedule.rounds.size()), shape.workers);
    EXPECT_EQ(schedule.micro_batches, shape.micro_batches);
    std::vector<int> all(shape.micro_batches);
    std::iota(all.begin(), all.end(), 0);
    for (const std::vector<Action>& round : schedule.rounds) {
      std::map<int, std::vector<int>> forwards, backwards, late;  // by stage: micro-batches
      std::map<int, int> updates;
      for (const Action& action : round) {
        if (action.op == Op::forward) forwards[action.stage].push_back(action.micro);
        if (action.op == Op::backward)
          (action.steps_back > 0 ? late : backwards)[action.stage].push_back(action.micro);
        if (action.op == Op::update) ++updates[action.stage];
        if (action.op != Op::update) continue;
        const auto& last = action.steps_back > 0 ? late[action.stage] : backwards[action.stage];
        ASSERT_FALSE(last.empty());
        EXPECT_EQ(last.back(), shape.micro_batches - 1) << "an update behind the last backward";
      }
      for (auto& [stage, micros] : forwards) {
        EXPECT_EQ(micros, all);
        EXPECT_EQ(updates[stage], 1);
        // Those of this step, and then those that it leaves to the next.
        std::vector<int> pulled = backwards[stage];
        pulled.insert(pulled.end(), late[stage].begin(), late[stage].end());
        EXPECT_EQ(pulled, all);
      }
    }
  });
}

// The n-th receive of a lane takes the n-th send. Those of the next round go on where this one's end.
TEST(EndToEndSchedule, BothEndsOfALaneAreOfTheSameMicroBatches) {
  for_each_schedule([](const Schedule& schedule, const Shape&) {
    const auto on_lane = [&](int lane, bool sends) {
      std::vector<int> micros;
      for (const std::vector<Action>& round : schedule.rounds)
        for (const bool late : {false, true})
          for (const Action& action : round)
            if (action.lane == lane && (action.op == Op::send) == sends && (action.steps_back > 0) == late)
              micros.push_back(action.micro);
      return micros;
    };
    for (std::size_t lane = 0; lane < schedule.lanes.size(); ++lane)
      EXPECT_EQ(on_lane(static_cast<int>(lane), true), on_lane(static_cast<int>(lane), false)) << lane;
  });
}

bool gets_through(const Schedule& schedule, const PlayOptions& options) {
  try {
    require_no_deadlock(schedule, options);
    return true;
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::contract);
    return false;
  }
}

// Over NCCL only a schedule with several lanes between two workers may come to its receives in another order
// than that of the sends.
TEST(EndToEndSchedule, NobodyWaitsForeverButWithInterleavedStagesOverNccl) {
  int num_stuck = 0;
  for_each_schedule([&](const Schedule& schedule, const Shape& shape) {
    const bool interleaved = schedule.name == "interleaved_1f1b" && shape.stages > shape.workers;
    for (const int buffers : {2, 3}) {
      EXPECT_TRUE(gets_through(schedule, {.buffers = buffers}));
      const bool over_nccl = gets_through(schedule, {.buffers = buffers, .carrier = Carrier::nccl});
      EXPECT_TRUE(over_nccl || interleaved);
      num_stuck += over_nccl ? 0 : 1;
    }
  });
  EXPECT_GT(num_stuck, 0);
}

int most_open(const std::vector<Action>& round) {
  int open = 0, most = 0;
  for (const Action& action : round) {
    if (action.op == Op::forward) most = std::max(most, ++open);
    // The first round has no step before it whose backwards make room.
    if (action.op == Op::backward && action.steps_back == 0) --open;
  }
  return most;
}

TEST(EndToEndSchedule, OneForwardOneBackwardHoldsNoMoreMicroBatchesThanWorkersBehindAndItself) {
  for (int workers = 1; workers <= 8; ++workers)
    for (const int micro_batches : {1, 2, 4, 7, 16})
      for (int p = 0; p < workers; ++p) {
        const Shape shape{workers, workers, micro_batches};
        EXPECT_EQ(most_open(schedule_of("1f1b", shape).rounds[p]), std::min(workers - p, micro_batches));
        EXPECT_EQ(most_open(schedule_of("gpipe", shape).rounds[p]), micro_batches);
      }
}

TEST(EndToEndSchedule, TwoBufferedWeightsLeaveOpenWhatTheWorkersBehindHoldAndDrainIt) {
  const Schedule schedule = schedule_of("2bw", {3, 3, 4});
  for (int p = 0; p < 3; ++p) {
    const WorkerRounds rounds = worker_rounds(schedule, p);
    EXPECT_EQ(rounds.leaves_open(), p < 2);
    const auto is_backward = [](const Action& action) { return action.op == Op::backward; };
    EXPECT_EQ(std::count_if(rounds.drain.begin(), rounds.drain.end(), is_backward), 2 - p);
    EXPECT_EQ(std::count_if(rounds.first.begin(), rounds.first.end(), is_backward), 4 - (2 - p));
    EXPECT_EQ(std::count_if(rounds.next.begin(), rounds.next.end(), is_backward), 4);
    // The flush goes on before anybody waits for a gradient.
    if (p < 2) {
      EXPECT_EQ(rounds.drain.front().op, Op::send);
    }
  }
}

TEST(EndToEndSchedule, PassesGoThroughEveryStageOnceAndForwardOnly) {
  for_each_schedule([](const Schedule& schedule, const Shape& shape) {
    std::vector<int> computed;
    ASSERT_EQ(schedule.passes.size(), schedule.rounds.size());
    for (std::size_t w = 0; w < schedule.passes.size(); ++w) {
      EXPECT_EQ(schedule.passes[w].front().op, schedule.rounds[w].front().op);
      EXPECT_EQ(schedule.passes[w].front().lane, schedule.rounds[w].front().lane);
      for (const Action& action : schedule.passes[w]) {
        if (action.op == Op::compute) computed.push_back(action.stage);
        if (action.lane >= 0) {
          EXPECT_FALSE(schedule.lanes[action.lane].gradient);
        }
      }
    }
    std::sort(computed.begin(), computed.end());
    computed.erase(std::unique(computed.begin(), computed.end()), computed.end());
    EXPECT_EQ(static_cast<int>(computed.size()), shape.stages);
  });
}

TEST(EndToEndSchedule, TwoWorkersOfOneForwardOneBackward) {
  const Schedule schedule = schedule_of("1f1b", {2, 2, 2});
  const std::vector<Action> first = {{Op::feed, 0},
                                     {Op::forward, 0, -1, 0},
                                     {Op::send, 0, 0, 0},
                                     {Op::forward, 0, -1, 1},
                                     {Op::send, 0, 0, 1},
                                     {Op::receive, 0, 1, 0},
                                     {Op::backward, 0, -1, 0},
                                     {Op::receive, 0, 1, 1},
                                     {Op::backward, 0, -1, 1},
                                     {Op::update, 0}};
  EXPECT_EQ(schedule.rounds[0], first);
  const std::vector<Action> last = {
      {Op::receive, 1, 0, 0}, {Op::forward, 1, -1, 0}, {Op::backward, 1, -1, 0}, {Op::send, 1, 1, 0},
      {Op::receive, 1, 0, 1}, {Op::forward, 1, -1, 1}, {Op::backward, 1, -1, 1}, {Op::send, 1, 1, 1},
      {Op::update, 1},        {Op::finish, 1}};
  EXPECT_EQ(schedule.rounds[1], last);
}

// As Megatron-LM goes: as many micro-batches as workers through a worker's first stage, then through its
// second.
TEST(EndToEndSchedule, InterleavedStagesTakeTurns) {
  const Schedule schedule = schedule_of("interleaved_1f1b", {2, 4, 4});
  std::vector<std::string> order;
  for (const Action& action : schedule.rounds[0])
    if (action.op == Op::forward || action.op == Op::backward)
      order.push_back((action.op == Op::forward ? "f" : "b") + std::to_string(action.stage) + ":" +
                      std::to_string(action.micro));
  EXPECT_EQ(order,
            (std::vector<std::string>{"f0:0", "f0:1", "f2:0", "f2:1", "f0:2", "b2:0", "f0:3", "b2:1", "f2:2",
                                      "b0:0", "f2:3", "b0:1", "b2:2", "b2:3", "b0:2", "b0:3"}));
}

std::string error_of(const std::string& name, const Shape& shape) {
  try {
    schedule_of(name, shape);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::config);
    return error.what();
  }
  return "nothing was thrown";
}

TEST(EndToEndSchedule, SaysWhatItCannotDoWith) {
  EXPECT_EQ(error_of("interleaved_1f1b", {2, 3, 4}),
            "pipeline.stages: expected a multiple of the 2 workers with schedule interleaved_1f1b, found 3");
  EXPECT_EQ(
      error_of("interleaved_1f1b", {2, 4, 3}),
      "pipeline.micro_batches: expected a multiple of the 2 workers with schedule interleaved_1f1b, found 3");
  EXPECT_EQ(error_of("2bw", {4, 4, 2}),
            "pipeline.micro_batches: expected at least 3, one fewer than the 4 workers, with schedule 2bw, "
            "found 2");
}

}  // namespace
}  // namespace lamina
