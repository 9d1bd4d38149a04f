#include "lamina/pipeline/schedule.hpp"

#include <fmt/format.h>

#include <array>
#include <numeric>

namespace lamina {
namespace {

// Lanes from every replica of one group to those of the next that have samples in common with it.
void connect(Schedule& schedule, const WorkerGroup& from, int first_receiver, int receivers) {
  const int stage = from.end_stage - 1;
  for (int i = 0; i < from.replicas; ++i) {
    const Replica sender{i, from.replicas};
    bool with_reports = true;
    for (int j = 0; j < receivers; ++j) {
      const Replica receiver{j, receivers};
      const int sending = from.first_worker + i, receiving = first_receiver + j;
      if (!may_share(sender, receiver) || sending == receiving) continue;
      const int lane = static_cast<int>(schedule.lanes.size());
      schedule.lanes.push_back({sending, receiving, stage, sender, receiver, with_reports});
      schedule.rounds[sending].push_back({Op::send, stage, lane});
      with_reports = false;
    }
  }
}

// What comes in on the worker's lanes: the first piece is received, the others join it.
void take(Schedule& schedule, int worker, int stage) {
  bool has_piece = false;
  for (std::size_t lane = 0; lane < schedule.lanes.size(); ++lane) {
    if (schedule.lanes[lane].to != worker) continue;
    schedule.rounds[worker].push_back({has_piece ? Op::join : Op::receive, stage, static_cast<int>(lane)});
    has_piece = true;
  }
}

}  // namespace

const char* name_of(Op op) {
  static constexpr std::array names = {"feed",     "receive", "join", "compute", "forward",
                                       "backward", "update",  "send", "finish"};
  return names[static_cast<std::size_t>(op)];
}

std::vector<int> WorkerGroup::workers() const {
  std::vector<int> workers(static_cast<std::size_t>(replicas));
  std::iota(workers.begin(), workers.end(), first_worker);
  return workers;
}

std::vector<int> WorkerGroup::stages() const {
  std::vector<int> stages;
  for (int stage = first_stage; stage < end_stage; stage += stage_stride) stages.push_back(stage);
  return stages;
}

std::vector<WorkerGroup> make_groups(const std::vector<int>& first_stage,
                                     const std::vector<std::int64_t>& replicas) {
  std::vector<WorkerGroup> groups;
  int first_worker = 0;
  for (std::size_t g = 0; g + 1 < first_stage.size(); ++g) {
    const int num_replicas = replicas.empty() ? 1 : static_cast<int>(replicas.at(g));
    groups.push_back({first_worker, num_replicas, first_stage[g], first_stage[g + 1]});
    first_worker += num_replicas;
  }
  return groups;
}

Schedule streaming_schedule(const std::vector<WorkerGroup>& groups) {
  const WorkerGroup& last = groups.back();
  Schedule schedule{.name = "streaming", .num_stages = last.end_stage, .rounds = {}, .lanes = {}};
  schedule.rounds.resize(static_cast<std::size_t>(last.first_worker + last.replicas));
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const WorkerGroup& group = groups[g];
    for (const int worker : group.workers()) {
      if (g == 0)
        schedule.rounds[worker].push_back({Op::feed, group.first_stage});
      else
        take(schedule, worker, group.first_stage);
      for (int stage = group.first_stage; stage < group.end_stage; ++stage)
        schedule.rounds[worker].push_back({Op::compute, stage});
    }
    if (g + 1 < groups.size()) connect(schedule, group, groups[g + 1].first_worker, groups[g + 1].replicas);
  }
  // Whole again at the first replica of the last group.
  const std::size_t before = schedule.lanes.size();
  connect(schedule, last, last.first_worker, /*receivers=*/1);
  for (std::size_t lane = before; lane < schedule.lanes.size(); ++lane)
    schedule.rounds[last.first_worker].push_back({Op::join, last.end_stage - 1, static_cast<int>(lane)});
  schedule.rounds[last.first_worker].push_back({Op::finish, last.end_stage - 1});
  return schedule;
}

std::string text(const Action& action) {
  std::string text = fmt::format("{} of stage {}", name_of(action.op), action.stage);
  if (action.micro > 0) text += fmt::format(", micro-batch {}", action.micro);
  return text;
}

}  // namespace lamina
