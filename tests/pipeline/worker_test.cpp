#include "lamina/pipeline/worker.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

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

Outcome train_on(int num_workers) {
  const auto stage_specs = cut_into_stages(testing::small_modules(), std::int64_t{4});
  const std::vector<int> first = deal_stages(stage_specs, num_workers);
  const Schedule schedule = streaming_schedule(first);
  std::vector<LaneSpec> lanes;
  for (const ScheduleLane& lane : schedule.lanes)
    lanes.push_back(packet_lane(lane.from, lane.to, stage_specs[lane.stage].back().out, batch, at::kFloat,
                                at::MemoryFormat::ChannelsLast, 2));
  auto transports = make_inprocess_transports(num_workers);
  Outcome outcome;
  outcome.accounts.resize(num_workers);
  std::vector<std::vector<at::Tensor>> tensors(num_workers), marked(num_workers);
  {
    std::vector<std::jthread> threads;
    for (int w = 0; w < num_workers; ++w)
      threads.emplace_back([&, w] {
        at::set_num_threads(1);
        transports[w]->open(lanes);
        std::vector<Stage> stages;
        for (int s = first[w]; s < first[w + 1]; ++s)
          stages.emplace_back(s, stage_specs[s], SgdConfig{}, Initializer(1));
        std::vector<Packet> packets = stream();
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
        Worker worker(schedule.rounds[w], std::move(stages), *transports[w], lanes, std::move(hooks),
                      Seconds(60));
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

TEST(Worker, AnyNumberOfWorkersTrainsTheSameBits) {
  const Outcome one = train_on(1);
  for (const int workers : {2, 3, 4}) {
    const Outcome many = train_on(workers);
    expect_equal(one.tensors, many.tensors);
    expect_equal(one.marked, many.marked);
    ASSERT_EQ(one.left.size(), many.left.size());
    for (std::size_t i = 0; i < one.left.size(); ++i) {
      EXPECT_EQ(one.left[i].kind, many.left[i].kind);
      EXPECT_EQ(one.left[i].samples(), many.left[i].samples());
      for (std::size_t m = 0; m < one.left[i].modules.size(); ++m)
        EXPECT_EQ(one.left[i].modules[m].loss, many.left[i].modules[m].loss);
    }
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
  const auto stage_specs = cut_into_stages(testing::small_modules(), std::int64_t{2});
  const Schedule schedule = streaming_schedule({0, 1, 2});
  const std::vector<LaneSpec> lanes = {
      packet_lane(0, 1, stage_specs[0].back().out, batch, at::kFloat, at::MemoryFormat::ChannelsLast, 2)};
  auto transports = make_inprocess_transports(2);
  std::jthread other([&] { transports[0]->open(lanes); });
  transports[1]->open(lanes);
  std::vector<Stage> stages;
  stages.emplace_back(1, stage_specs[1], SgdConfig{}, Initializer(1));
  Worker worker(schedule.rounds[1], std::move(stages), *transports[1], lanes, {}, Seconds(0.05));
  try {
    worker.run();
    FAIL() << "it waited for nothing";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::timeout);
  }
}

}  // namespace
}  // namespace lamina
