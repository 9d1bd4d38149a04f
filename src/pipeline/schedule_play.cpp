#include "lamina/pipeline/schedule_play.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "lamina/core/error.hpp"
#include "lamina/pipeline/end_to_end_schedule.hpp"
#include "schedule_player.hpp"

namespace lamina {
namespace {

bool takes(const Action& action) {
  return action.op == Op::receive || action.op == Op::join;
}

// By kind of packet, as Worker has them; each begins with the round's first action, which shows what comes.
std::vector<std::vector<Action>> actions_by_kind(const Schedule& schedule, int worker) {
  const WorkerRounds rounds = worker_rounds(schedule, worker);
  std::vector<std::vector<Action>> all{rounds.first, rounds.next, rounds.pass, rounds.drain};
  for (std::vector<Action>& actions : all)
    actions.insert(actions.begin(), schedule.rounds[static_cast<std::size_t>(worker)].front());
  return all;
}

}  // namespace

SchedulePlayer::SchedulePlayer(const Schedule& schedule, const PlayOptions& options,
                               const PlayObserver& observe)
    : schedule_(schedule),
      options_(options),
      observe_(observe),
      workers_(workers_by_stage(schedule)),
      wake_([this](int worker) { wake(worker); }),
      traffic_(schedule, options, wake_),
      snapshots_(schedule, options, wake_),
      places_(schedule.rounds.size()),
      ends_(schedule.lanes.size()),
      lanes_from_(schedule.rounds.size()),
      gradient_lanes_(workers_.size()) {
  for (int lane = 0; lane < static_cast<int>(schedule.lanes.size()); ++lane) {
    const ScheduleLane& route = schedule.lanes[static_cast<std::size_t>(lane)];
    lanes_from_[static_cast<std::size_t>(route.from)].push_back(lane);
    if (route.gradient) gradient_lanes_[static_cast<std::size_t>(route.stage)].push_back(lane);
  }
  for (int worker = 0; worker < static_cast<int>(places_.size()); ++worker)
    actions_.push_back(actions_by_kind(schedule, worker));
  plan_turns();
  count_messages();
}

// Before what is no training step an open one is ended, as Worker does.
void SchedulePlayer::plan_turns() {
  const bool leaves_open = std::any_of(actions_.begin(), actions_.end(), [](const auto& of_worker) {
    return of_worker[first].size() != of_worker[next].size();
  });
  bool open = false;
  std::int64_t step = 0;
  const auto end_open = [&](std::int64_t packet) {
    if (open) turns_.push_back({drain, packet, step});
    open = false;
  };
  for (std::int64_t packet = 0; packet < options_.packets; ++packet) {
    if (options_.trains && !options_.trains(packet)) {
      end_open(packet);
      turns_.push_back({pass, packet, step});
      continue;
    }
    turns_.push_back({open ? next : first, packet, step++});
    open = leaves_open;
  }
  end_open(options_.packets);
}

const Action* SchedulePlayer::next_action(int worker) const {
  const Place& at = place(worker);
  return at.turn < turns_.size() ? &actions(worker, turns_[at.turn].kind)[at.action] : nullptr;
}

// Nothing is received ahead behind the last message of a lane.
void SchedulePlayer::count_messages() {
  std::vector<std::int64_t> num_turns(drain + 1, 0), taken(ends_.size(), 0);
  for (const Turn& one : turns_) ++num_turns[one.kind];
  for (const auto& of_worker : actions_)
    for (std::size_t kind = 0; kind < of_worker.size(); ++kind)
      for (const Action& action : of_worker[kind]) {
        if (action.op == Op::send) ends(action.lane).num_messages += num_turns[kind];
        if (takes(action)) taken[static_cast<std::size_t>(action.lane)] += num_turns[kind];
      }
  for (std::size_t lane = 0; lane < ends_.size(); ++lane)
    if (ends_[lane].num_messages != taken[lane])
      throw Error(ErrorKind::contract,
                  fmt::format("schedule {}: worker {} sends {} messages on lane {}, but worker {} takes {}",
                              schedule_.name, schedule_.lanes[lane].from, ends_[lane].num_messages, lane,
                              schedule_.lanes[lane].to, taken[lane]));
}

void SchedulePlayer::run() {
  for (std::size_t worker = places_.size(); worker-- > 0;) wake(static_cast<int>(worker));
  while (!awake_.empty()) {
    const int worker = awake_.back();
    awake_.pop_back();
    place(worker).awake = false;
    advance(worker);
  }
  for (std::size_t worker = 0; worker < places_.size(); ++worker)
    if (!places_[worker].left) throw Error(ErrorKind::contract, deadlock(static_cast<int>(worker)));
}

void SchedulePlayer::wake(int worker) {
  if (place(worker).awake) return;
  place(worker).awake = true;
  awake_.push_back(worker);
}

void SchedulePlayer::advance(int worker) {
  Place& at = place(worker);
  while (const Action* action = next_action(worker)) {
    if (!play_action(worker, *action)) return;
    if (++at.action < actions(worker, turn(worker).kind).size()) continue;
    at.action = 0;
    ++at.turn;
  }
  at.left = at.left || leave(worker);
}

Wait SchedulePlayer::wait_of(int worker) const {
  const Place& at = place(worker);
  const Action* action = next_action(worker);
  if (action == nullptr) {
    for (const int lane : lanes_from(worker))
      if (!ends(lane).sent.empty()) return traffic_.wait_for(ends(lane).sent.front());
    return {"has left", worker};
  }
  if (takes(*action)) return traffic_.wait_for(*ends(action->lane).posted);
  if (action->op == Op::send) return traffic_.wait_for(ends(action->lane).sent.front());
  const auto sum = at.sums.find(action->stage);
  if (at.asked && sum != at.sums.end()) return traffic_.wait_for(sum->second);
  return snapshots_.wait_for(action->stage, worker, turn(worker).step);
}

std::string SchedulePlayer::line(int worker, bool in_queue, const Wait& wait) const {
  const Action* action = in_queue ? nullptr : next_action(worker);
  if (action == nullptr) return fmt::format("worker {} {}", worker, wait.what);
  return fmt::format("worker {} at {}, packet {}, {}", worker, text(*action), turn(worker).packet, wait.what);
}

// From a worker that waits to whom it waits for, until that goes round.
std::string SchedulePlayer::deadlock(int stuck) const {
  std::vector<std::string> lines;
  std::vector<std::pair<int, bool>> seen;
  std::pair<int, bool> at{stuck, false};
  auto round = seen.end();
  while ((round = std::find(seen.begin(), seen.end(), at)) == seen.end()) {
    const auto [worker, in_queue] = at;
    const Wait wait = in_queue ? traffic_.wait_of_queue(worker) : wait_of(worker);
    lines.push_back(line(worker, in_queue, wait));
    seen.push_back(at);
    at = {wait.worker, wait.in_queue};
  }
  lines.erase(lines.begin(), lines.begin() + (round - seen.begin()));
  return fmt::format("schedule {}: the workers wait for one another: {}", schedule_.name,
                     fmt::join(lines, "; "));
}

std::vector<std::vector<int>> workers_by_stage(const Schedule& schedule) {
  std::vector<std::vector<int>> workers(static_cast<std::size_t>(schedule.num_stages));
  for (std::size_t worker = 0; worker < schedule.rounds.size(); ++worker) {
    std::set<int> stages;
    for (const Action& action : schedule.rounds[worker])
      if (action.op == Op::compute || action.op == Op::forward) stages.insert(action.stage);
    for (const int stage : stages)
      workers[static_cast<std::size_t>(stage)].push_back(static_cast<int>(worker));
  }
  return workers;
}

void play(const Schedule& schedule, const PlayOptions& options, const PlayObserver& observe) {
  SchedulePlayer(schedule, options, observe).run();
}

// A wait that goes round does so within a fill of the pipeline and the snapshots' lag.
void require_no_deadlock(const Schedule& schedule, PlayOptions options) {
  const SnapshotPolicy& policy = options.snapshots.policy;
  options.packets = 2 * (schedule.num_stages + options.buffers) + policy.lag + policy.every;
  play(schedule, options, nullptr);
  if (schedule.passes.empty()) return;
  constexpr std::int64_t one_in = 3;
  options.trains = [](std::int64_t packet) { return packet % one_in != one_in - 1; };
  options.packets *= 2;
  play(schedule, options, nullptr);
}

}  // namespace lamina
