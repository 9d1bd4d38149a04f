// What the checker of schedules says of NCCL's queue, beside what such a queue does.
#include <gmock/gmock.h>

#include <atomic>

#include "lamina/core/error.hpp"
#include "lamina/pipeline/schedule_play.hpp"
#include "ranks.hpp"

namespace nccl_standin {
namespace {

using lamina::Carrier;

// Three stages train with `lag: 0`: the first begins a step once the last has done the one before. The one in
// the middle receives ahead, in a group with its send or before it. Says whether all get through.
bool three_stages_get_through(bool grouped) {
  constexpr int num_steps = 5;
  std::atomic<int> num_done = 0;  // steps of the last stage
  std::atomic<int> num_through = 0;
  const Milliseconds limit = grouped ? patience : moment;
  run_ranks(3, [&](Rank& rank) {
    use_edge(rank, 0, 1);
    use_edge(rank, 1, 2);
    std::vector<float> in(1);
    std::vector<float> out(1);
    if (rank.number == 1) {
      ASSERT_TRUE(rank.perform({{.from = 0, .buffer = &in}}));
    }
    for (int step = 0; step < num_steps; ++step) {
      if (rank.number == 0) {
        if (!comes_true([&] { return num_done == step; }, limit)) return;
        if (!rank.perform({{.to = 1, .buffer = &out}}, limit)) return;
      } else if (rank.number == 1) {
        const Rank::Step send{.to = 2, .buffer = &out};
        const Rank::Step receive{.from = 0, .buffer = &in};
        if (step + 1 == num_steps) {
          if (!rank.perform({send}, limit)) return;
        } else if (grouped) {
          if (!rank.perform({send, receive}, limit)) return;
        } else {
          EXPECT_EQ(rank.call(receive), ncclInProgress);
          EXPECT_EQ(rank.settle(), ncclSuccess);
          if (!rank.perform({send}, limit)) return;
        }
      } else {
        if (!rank.perform({{.from = 1, .buffer = &in}}, limit)) return;
        ++num_done;
      }
    }
    ++num_through;
  });
  return num_through == 3;
}

// What the checker says of the same three stages; nothing if they get through.
std::string objection(Carrier carrier) {
  const lamina::Schedule schedule = lamina::streaming_schedule(lamina::make_groups({0, 1, 2, 3}));
  try {
    lamina::require_no_deadlock(
        schedule, {.carrier = carrier, .snapshots = {.policy = {.lag = 0}, .reads = {{2}, {}, {}}}});
    return {};
  } catch (const lamina::Error& error) {
    EXPECT_EQ(error.kind(), lamina::ErrorKind::contract);
    return error.what();
  }
}

TEST(NcclSchedule, AReceiveAheadOfTheSendIsRejectedAtLagZeroAndHangsThreeStages) {
  EXPECT_FALSE(three_stages_get_through(/*grouped=*/false));
  EXPECT_EQ(
      objection(Carrier::nccl_prefetching),
      "schedule streaming: the workers wait for one another: "
      "worker 0 at compute of stage 0, packet 1, waits for version 1 of stage 2, which worker 2 has not "
      "come to; "
      "worker 2 at receive of stage 2, packet 0, waits for message 0 of lane 1, which worker 1 has not "
      "sent; "
      "worker 1 has an NCCL queue that waits for message 1 of lane 0, which worker 0 has not sent");
}

TEST(NcclSchedule, AReceiveInTheGroupOfTheSendIsAcceptedAndGetsThrough) {
  EXPECT_TRUE(three_stages_get_through(/*grouped=*/true));
  EXPECT_EQ(objection(Carrier::nccl), "");
}

}  // namespace
}  // namespace nccl_standin
