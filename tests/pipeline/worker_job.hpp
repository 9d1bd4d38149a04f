#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "lamina/comm/inprocess.hpp"
#include "lamina/pipeline/end_to_end_schedule.hpp"
#include "lamina/pipeline/stage_cut.hpp"
#include "lamina/pipeline/worker.hpp"
#include "small_network.hpp"

// Workers that are threads, from a short stream to what it leaves behind.
namespace lamina::tests {

inline constexpr std::int64_t batch = 6;

// Five training steps with an evaluation and a checkpoint mark between them, a short batch, and the stop
// mark.
inline std::vector<Packet> stream(at::ScalarType dtype) {
  std::vector<Packet> packets;
  for (int step = 0; step < 5; ++step)
    packets.push_back(train_packet(step, step == 2 ? batch - 2 : batch, dtype));
  Packet eval = train_packet(9, batch, dtype);
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
  std::vector<std::vector<std::string>> shown;       // by worker: what its board shows in its hooks
  std::vector<std::shared_ptr<ActionBoard>> boards;  // by worker, as they are left
};

struct Trial {
  std::vector<ModuleSpec> modules = small_modules();
  StageOptions options{};
  SnapshotPolicy policy{};
  std::vector<std::int64_t> replicas{};  // of each worker's stages
  at::ScalarType dtype = at::kFloat;
  std::string schedule = "streaming";
  int micro_batches = 1;
  std::int64_t num_stages = 4;
  std::optional<std::size_t> poisoned{};  // a packet that has an infinity in its first sample
};

// Stages on groups of workers that are threads.
class Job {
 public:
  Job(int num_groups, const Trial& trial) : trial_(trial) {
    if (trial.poisoned) packets_.at(*trial.poisoned).x_BCHW[0].fill_(INFINITY);
    const auto cut = cut_into_stages(trial.modules, trial.num_stages);
    stage_specs_ = make_stage_specs(cut, trial.options.window, true);
    const bool streams = trial.schedule == "streaming";
    groups_ = trial.schedule == "interleaved_1f1b"
                  ? interleaved_groups(static_cast<int>(cut.size()), std::vector<std::int64_t>(num_groups, 1))
                  : make_groups(deal_stages(cut, num_groups), trial.replicas);
    schedule_ = make_schedule(trial.schedule, groups_, trial.micro_batches);
    trial_.options.micro_batches = streams ? 0 : trial.micro_batches;
    trial_.options.two_versions = trial.schedule == "2bw";
    for (const ScheduleLane& lane : schedule_.lanes) {
      const ModuleSpec& last = stage_specs_[lane.stage].modules.back();
      const auto make_lane = lane.gradient ? gradient_lane : packet_lane;
      lanes_.push_back(make_lane(lane.from, lane.to,
                                 {.features = last.is_last ? FeatureShape{} : last.out,
                                  .batch = batch,
                                  .dtype = trial.options.rounds_output ? at::kBFloat16 : trial.dtype},
                                 2));
    }
  }

  Outcome run() {
    const auto num_workers = schedule_.rounds.size();
    const auto transports = make_inprocess_transports(static_cast<int>(num_workers));
    outcome_.accounts.resize(num_workers);
    outcome_.shown.resize(num_workers);
    for (std::size_t w = 0; w < num_workers; ++w)
      outcome_.boards.push_back(std::make_shared<ActionBoard>(lanes_.size()));
    tensors_.resize(stage_specs_.size());
    marked_.resize(stage_specs_.size());
    {
      std::vector<std::jthread> threads;
      for (const WorkerGroup& group : groups_)
        for (const int w : group.workers()) threads.emplace_back([&, w] { work(group, *transports[w]); });
    }
    for (std::size_t stage = 0; stage < stage_specs_.size(); ++stage) {
      append(outcome_.tensors, tensors_[stage]);
      append(outcome_.marked, marked_[stage]);
    }
    return outcome_;
  }

 private:
  static void append(std::vector<at::Tensor>& all, const std::vector<at::Tensor>& some) {
    all.insert(all.end(), some.begin(), some.end());
  }

  static std::vector<at::Tensor> copy_of(const Stage& stage) {
    std::vector<at::Tensor> copies;
    for (const Stage::Part& part : stage.parts()) {
      for (const NamedTensor& entry : part.module.tensors()) copies.push_back(entry.tensor.detach().clone());
      for (const at::Tensor& tensor : part.older ? part.older->parameters() : std::vector<at::Tensor>())
        copies.push_back(tensor.detach().clone());
    }
    return copies;
  }

  void work(const WorkerGroup& group, Transport& transport) {
    at::set_num_threads(1);
    transport.open(lanes_);
    const int w = transport.worker();
    const bool is_first_replica = w == group.first_worker;
    SnapshotPlane snapshots(trial_.policy, board_, nullptr, Seconds(60), is_first_replica);
    std::vector<Stage> stages;
    for (const int s : group.stages())
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
    hooks.board = outcome_.boards[w];
    const auto show = [this, w] { outcome_.shown[w].push_back(text(outcome_.boards[w]->read().where)); };
    const Replica replica{w - group.first_worker, group.replicas};
    if (group == groups_.front())
      hooks.source = [this, replica, show, i = 0u]() mutable {
        show();
        return piece_of(packets_.at(i++), {}, replica, /*with_reports=*/true);
      };
    const auto notes = std::make_shared<std::vector<std::string>>();
    hooks.save = [this, replica, show, notes](Stage& stage, const Packet& mark) {
      show();
      if (replica.index == 0)
        (mark.kind == PacketKind::checkpoint ? marked_ : tensors_)[stage.index()] = copy_of(stage);
      notes->push_back("stage " + std::to_string(stage.index()));
      return 0.0;
    };
    hooks.notes = [notes] { return std::exchange(*notes, {}); };
    if (w == groups_.back().first_worker)
      hooks.sink = [this, show](const Packet& packet) {
        show();
        outcome_.left.push_back(packet);
      };
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
  std::vector<std::vector<at::Tensor>> tensors_, marked_;  // by stage
};

inline Outcome train_on(int num_groups, const Trial& trial = {}) {
  return Job(num_groups, trial).run();
}

inline void expect_equal(const std::vector<at::Tensor>& found, const std::vector<at::Tensor>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(at::equal(found[i], expected[i])) << i;
}

inline double relative_difference(const std::vector<at::Tensor>& found,
                                  const std::vector<at::Tensor>& expected) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    difference += (found[i] - expected[i]).to(at::kDouble).square().sum().item<double>();
    size += expected[i].to(at::kDouble).square().sum().item<double>();
  }
  return std::sqrt(difference / size);
}

}  // namespace lamina::tests
