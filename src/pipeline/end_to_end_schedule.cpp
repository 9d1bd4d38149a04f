#include "lamina/pipeline/end_to_end_schedule.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <map>

#include "lamina/core/error.hpp"

namespace lamina {
namespace {

// What a worker does in one go: stages that follow one another, on a micro-batch.
struct Unit {
  std::vector<int> stages;
  int micro;
};
using Units = std::vector<Unit>;

// Writes rounds down: where a stage's neighbour is another worker's, the lanes to it.
class Rounds {
 public:
  Rounds(std::string name, const std::vector<WorkerGroup>& groups, int micro_batches) {
    schedule_ = {.name = std::move(name),
                 .num_stages = groups.back().end_stage,
                 .rounds = std::vector<std::vector<Action>>(groups.size()),
                 .lanes = {},
                 .micro_batches = micro_batches,
                 .passes = std::vector<std::vector<Action>>(groups.size())};
    owner_.resize(static_cast<std::size_t>(schedule_.num_stages));
    for (const WorkerGroup& group : groups)
      for (const int stage : group.stages()) owner_[stage] = group.first_worker;
    connect();
    schedule_.rounds.front().push_back({Op::feed, 0});
    for (int stage = 0; stage < schedule_.num_stages; ++stage) pass(stage);
  }

  void forward(const Unit& unit, int steps_back = 0) {
    for (const int stage : unit.stages) {
      if (stage > 0) take(Op::receive, stage, activations_[stage - 1], unit.micro, steps_back);
      add({Op::forward, stage, -1, unit.micro, steps_back});
      if (!is_last(stage)) take(Op::send, stage, activations_[stage], unit.micro, steps_back);
    }
  }

  void backward(const Unit& unit, int steps_back = 0) {
    for (auto stage = unit.stages.rbegin(); stage != unit.stages.rend(); ++stage) {
      if (!is_last(*stage)) take(Op::receive, *stage, gradients_[*stage], unit.micro, steps_back);
      add({Op::backward, *stage, -1, unit.micro, steps_back});
      if (*stage > 0) take(Op::send, *stage, gradients_[*stage - 1], unit.micro, steps_back);
    }
  }

  void update(const std::vector<int>& stages, int steps_back = 0) {
    for (const int stage : stages) add({Op::update, stage, -1, 0, steps_back});
  }

  Schedule finish() {
    add({Op::finish, schedule_.num_stages - 1});
    return std::move(schedule_);
  }

 private:
  bool is_last(int stage) const { return stage == schedule_.num_stages - 1; }
  void add(const Action& action) { schedule_.rounds[owner_[action.stage]].push_back(action); }
  // Over a lane, if there is one: between stages of one worker nothing travels.
  void take(Op op, int stage, int lane, int micro, int steps_back) {
    if (lane >= 0) add({op, stage, lane, micro, steps_back});
  }

  void connect() {
    activations_.assign(owner_.size(), -1);
    gradients_.assign(owner_.size(), -1);
    for (int stage = 0; !is_last(stage); ++stage) {
      const int before = owner_[stage], behind = owner_[stage + 1];
      if (before == behind) continue;
      activations_[stage] = static_cast<int>(schedule_.lanes.size());
      schedule_.lanes.push_back({.from = before, .to = behind, .stage = stage});
      gradients_[stage] = static_cast<int>(schedule_.lanes.size());
      schedule_.lanes.push_back({.from = behind, .to = before, .stage = stage, .gradient = true});
    }
  }

  void pass(int stage) {
    std::vector<Action>& actions = schedule_.passes[owner_[stage]];
    if (stage == 0)
      actions.push_back({Op::feed, stage});
    else if (activations_[stage - 1] >= 0)
      actions.push_back({Op::receive, stage, activations_[stage - 1]});
    actions.push_back({Op::compute, stage});
    if (is_last(stage))
      actions.push_back({Op::finish, stage});
    else if (activations_[stage] >= 0)
      actions.push_back({Op::send, stage, activations_[stage]});
  }

  Schedule schedule_;
  std::vector<int> owner_;        // by stage
  std::vector<int> activations_;  // by stage: the lane behind it, or -1
  std::vector<int> gradients_;    // by stage: the lane on which those at its output come back, or -1
};

// `ahead` forwards, then a backward behind each forward, then the backwards that are left.
void write_round(Rounds& rounds, const Units& forwards, const Units& backwards, std::size_t ahead) {
  for (std::size_t k = 0; k < forwards.size() + ahead; ++k) {
    if (k < forwards.size()) rounds.forward(forwards[k]);
    if (k >= ahead) rounds.backward(backwards[k - ahead]);
  }
}

// All of a worker's stages, micro-batch by micro-batch.
Units whole_units(const WorkerGroup& group, int micro_batches) {
  Units units;
  for (int micro = 0; micro < micro_batches; ++micro) units.push_back({group.stages(), micro});
  return units;
}

int workers_behind(const std::vector<WorkerGroup>& groups, const WorkerGroup& group) {
  return groups.back().first_worker - group.first_worker;
}

// `ahead` says how many forwards a worker is ahead of its backwards.
Schedule flushing(const char* name, const std::vector<WorkerGroup>& groups, int micro_batches,
                  const std::function<int(const WorkerGroup&)>& ahead) {
  Rounds rounds(name, groups, micro_batches);
  for (const WorkerGroup& group : groups) {
    const Units units = whole_units(group, micro_batches);
    write_round(rounds, units, units, static_cast<std::size_t>(std::min(micro_batches, ahead(group))));
    rounds.update(group.stages());
  }
  return rounds.finish();
}

Schedule gpipe(const std::vector<WorkerGroup>& groups, int micro_batches) {
  return flushing("gpipe", groups, micro_batches, [=](const WorkerGroup&) { return micro_batches; });
}

Schedule one_forward_one_backward(const std::vector<WorkerGroup>& groups, int micro_batches) {
  return flushing("1f1b", groups, micro_batches,
                  [&](const WorkerGroup& group) { return workers_behind(groups, group); });
}

void refuse(const std::string& key, const std::string& expected, int found) {
  throw Error(ErrorKind::config, fmt::format("{}: expected {}, found {}", key, expected, found));
}

// Of a group of workers.
void check_replicas(const std::string& schedule, int replicas) {
  if (replicas != 1 && !may_share_stages(schedule))
    refuse("pipeline.replicas", "1 with schedule " + schedule, replicas);
}

// Of a worker's stages one at a time: as many micro-batches as there are workers through each of them, then
// the next as many.
Units card_units(const WorkerGroup& group, int num_workers, int micro_batches, bool backward) {
  std::vector<int> stages = group.stages();
  if (backward) std::reverse(stages.begin(), stages.end());
  Units units;
  for (int first = 0; first < micro_batches; first += num_workers)
    for (const int stage : stages)
      for (int micro = first; micro < first + num_workers; ++micro) units.push_back({{stage}, micro});
  return units;
}

Schedule interleaved(const std::vector<WorkerGroup>& groups, int micro_batches) {
  const int num_workers = static_cast<int>(groups.size());
  if (micro_batches % num_workers != 0)
    refuse("pipeline.micro_batches",
           fmt::format("a multiple of the {} workers with schedule interleaved_1f1b", num_workers),
           micro_batches);
  Rounds rounds("interleaved_1f1b", groups, micro_batches);
  for (const WorkerGroup& group : groups) {
    const int behind = workers_behind(groups, group), turns = static_cast<int>(group.stages().size());
    const Units forwards = card_units(group, num_workers, micro_batches, /*backward=*/false);
    const Units backwards = card_units(group, num_workers, micro_batches, /*backward=*/true);
    const int ahead = turns == 1 ? behind : 2 * behind + (turns - 1) * num_workers;
    write_round(rounds, forwards, backwards, std::min<std::size_t>(ahead, forwards.size()));
    rounds.update(group.stages());
  }
  return rounds.finish();
}

Schedule never_draining(const std::vector<WorkerGroup>& groups, int micro_batches) {
  if (micro_batches < workers_behind(groups, groups.front()))
    refuse("pipeline.micro_batches",
           fmt::format("at least {}, one fewer than the {} workers, with schedule 2bw",
                       workers_behind(groups, groups.front()), groups.size()),
           micro_batches);
  Rounds rounds("2bw", groups, micro_batches);
  for (const WorkerGroup& group : groups) {
    const Units units = whole_units(group, micro_batches);
    for (int micro = 0; micro < micro_batches; ++micro) {
      const int late = micro - workers_behind(groups, group);
      const int steps_back = late < 0 ? 1 : 0;
      const int pulled = late + steps_back * micro_batches;
      rounds.forward(units[micro]);
      rounds.backward(units[pulled], steps_back);
      if (pulled + 1 == micro_batches) rounds.update(group.stages(), steps_back);
    }
  }
  return rounds.finish();
}

// The lanes and the passes of streaming with replicas; a step in the place of its one computing.
Schedule data_parallel(const std::vector<WorkerGroup>& groups, int micro_batches) {
  if (groups.size() != 1 || groups.front().stages().size() != 1)
    refuse("pipeline.stages", "1 with schedule data_parallel", groups.back().end_stage);
  Schedule schedule = streaming_schedule(groups);
  schedule.name = "data_parallel";
  schedule.micro_batches = micro_batches;
  schedule.passes = schedule.rounds;
  std::vector<Action> step;
  for (int micro = 0; micro < micro_batches; ++micro) {
    step.push_back({Op::forward, 0, -1, micro});
    step.push_back({Op::backward, 0, -1, micro});
  }
  step.push_back({Op::update, 0});
  for (std::vector<Action>& round : schedule.rounds) {
    const auto at =
        std::find_if(round.begin(), round.end(), [](const Action& a) { return a.op == Op::compute; });
    round.insert(round.erase(at), step.begin(), step.end());
  }
  return schedule;
}

using Generator = Schedule (*)(const std::vector<WorkerGroup>&, int micro_batches);

const std::map<std::string, Generator>& generators() {
  static const std::map<std::string, Generator> table = {{"gpipe", gpipe},
                                                         {"1f1b", one_forward_one_backward},
                                                         {"interleaved_1f1b", interleaved},
                                                         {"2bw", never_draining},
                                                         {"data_parallel", data_parallel}};
  return table;
}

}  // namespace

std::vector<std::string> end_to_end_schedule_names() {
  std::vector<std::string> names;
  for (const auto& [name, generator] : generators()) names.push_back(name);
  return names;
}

bool may_share_stages(const std::string& schedule) {
  return schedule == "streaming" || schedule == "data_parallel";
}

bool deals_stages_out(const std::string& schedule) {
  return schedule == "interleaved_1f1b";
}

std::vector<WorkerGroup> interleaved_groups(int num_stages, const std::vector<std::int64_t>& replicas) {
  for (const std::int64_t workers : replicas) check_replicas("interleaved_1f1b", static_cast<int>(workers));
  const int num_workers = static_cast<int>(replicas.size());
  if (num_stages % num_workers != 0)
    refuse("pipeline.stages",
           fmt::format("a multiple of the {} workers with schedule interleaved_1f1b", num_workers),
           num_stages);
  std::vector<WorkerGroup> groups;
  for (int worker = 0; worker < num_workers; ++worker)
    groups.push_back({.first_worker = worker,
                      .first_stage = worker,
                      .end_stage = num_stages - num_workers + worker + 1,
                      .stage_stride = num_workers});
  return groups;
}

Schedule end_to_end_schedule(const std::string& name, const std::vector<WorkerGroup>& groups,
                             int micro_batches) {
  const auto found = generators().find(name);
  if (found == generators().end())
    throw Error(ErrorKind::contract, fmt::format("expected one of the schedules {}, found {}",
                                                 fmt::join(end_to_end_schedule_names(), ", "), name));
  for (const WorkerGroup& group : groups) check_replicas(name, group.replicas);
  return found->second(groups, micro_batches);
}

Schedule make_schedule(const std::string& name, const std::vector<WorkerGroup>& groups, int micro_batches) {
  if (name == "streaming") return streaming_schedule(groups);
  return end_to_end_schedule(name, groups, micro_batches);
}

WorkerRounds worker_rounds(const Schedule& schedule, int worker) {
  const std::vector<Action>& round = schedule.rounds.at(static_cast<std::size_t>(worker));
  const std::vector<Action>& pass =
      schedule.passes.empty() ? round : schedule.passes.at(static_cast<std::size_t>(worker));
  WorkerRounds rounds{.next = {round.begin() + 1, round.end()}, .pass = {pass.begin() + 1, pass.end()}};
  for (const Action& action : rounds.next)
    if (action.steps_back == 0) rounds.first.push_back(action);
  for (const Action& action : rounds.pass)
    if (action.op == Op::send || action.op == Op::receive) rounds.drain.push_back(action);
  for (const Action& action : rounds.next)
    if (action.steps_back > 0) rounds.drain.push_back(action);
  return rounds;
}

}  // namespace lamina
