#include "schedule_player.hpp"

#include <algorithm>

namespace lamina {
namespace {

double of_stage(const std::vector<double>& seconds, int stage) {
  return seconds.empty() ? 0 : seconds[static_cast<std::size_t>(stage)];
}

}  // namespace

bool SchedulePlayer::play_action(int worker, const Action& action) {
  Place& at = place(worker);
  if (!at.came) {
    at.came = true;
    at.played = {.worker = worker, .action = action, .packet = turn(worker).packet, .came_s = at.now_s};
  }
  if (!perform(worker, action)) return false;
  at.played.ended_s = at.now_s;
  if (observe_) observe_(at.played);
  at.came = at.asked = false;
  return true;
}

bool SchedulePlayer::perform(int worker, const Action& action) {
  switch (action.op) {
    case Op::receive:
    case Op::join:
      return take(worker, action.lane);
    case Op::send:
      return send(worker, action.lane);
    case Op::compute:
    case Op::forward:
    case Op::backward:
    case Op::update:
      return work(worker, action);
    case Op::feed:
    case Op::finish:
      be_busy(worker, action);
  }
  return true;
}

bool SchedulePlayer::await(int worker, const TrafficCall& call, double& account_s) {
  Place& at = place(worker);
  if (!at.asked) traffic_.ask(call, at.now_s);
  at.asked = true;
  const double done_s = traffic_.done_s(call);
  if (done_s == never) return false;
  account_s += std::max(0.0, done_s - at.now_s);
  at.now_s = std::max(at.now_s, done_s);
  traffic_.forget(call);
  return true;
}

// As Worker::take: one receive is always posted ahead, of gradients once their forward has been done.
bool SchedulePlayer::take(int worker, int lane) {
  Place& at = place(worker);
  Ends& of_lane = ends(lane);
  if (!of_lane.posted) of_lane.posted = traffic_.post_receive(lane, at.now_s);
  if (!await(worker, *of_lane.posted, at.played.waited_s)) return false;
  const bool of_gradients = schedule_.lanes[static_cast<std::size_t>(lane)].gradient;
  const bool more =
      of_gradients ? --of_lane.num_expected > 0 : of_lane.posted->number + 1 < of_lane.num_messages;
  of_lane.posted.reset();
  if (more) of_lane.posted = traffic_.post_receive(lane, at.now_s);
  return true;
}

void SchedulePlayer::expect_gradient(int worker, int stage) {
  for (const int lane : gradient_lanes_[static_cast<std::size_t>(stage)]) {
    if (schedule_.lanes[static_cast<std::size_t>(lane)].to != worker) continue;
    ++ends(lane).num_expected;
    if (!ends(lane).posted) ends(lane).posted = traffic_.post_receive(lane, place(worker).now_s);
  }
}

bool SchedulePlayer::send(int worker, int lane) {
  Place& at = place(worker);
  Ends& of_lane = ends(lane);
  if (static_cast<int>(of_lane.sent.size()) == options_.buffers - 1) {
    if (!await(worker, of_lane.sent.front(), at.played.waited_s)) return false;
    of_lane.sent.pop_front();
  }
  of_lane.sent.push_back(traffic_.send(lane, at.now_s));
  send_early(worker, lane);
  return true;
}

// As Worker::perform: a send does not wait for the next receive to be asked for where computing comes first.
void SchedulePlayer::send_early(int worker, int lane) {
  const Place& at = place(worker);
  const std::vector<Action>& round = actions(worker, turn(worker).kind);
  if (at.action + 1 == round.size()) return;
  const Op then = round[at.action + 1].op;
  if (then != Op::receive && then != Op::join && then != Op::send)
    traffic_.ask(ends(lane).sent.back(), at.now_s);
}

void SchedulePlayer::be_busy(int worker, const Action& action) {
  Place& at = place(worker);
  at.played.began_s = at.now_s;
  at.played.busy_s = options_.seconds ? options_.seconds(worker, action, at.played.packet) : 0;
  at.now_s += at.played.busy_s;
}

void SchedulePlayer::begin_sum(int worker, int stage) {
  Place& at = place(worker);
  if (workers_of(stage).size() > 1) at.sums[stage] = traffic_.begin_sum(stage, worker, at.now_s);
}

// The sum over a stage's replicas begins behind its last gradient; an update waits for it.
bool SchedulePlayer::work(int worker, const Action& action) {
  Place& at = place(worker);
  const bool trained = action.op == Op::compute && trains(worker);
  const bool pulled = action.op == Op::backward && action.micro + 1 == schedule_.micro_batches;
  if (!at.asked) {
    if (trained && !fill_shadows(worker, action)) return false;
    if (action.op != Op::update) be_busy(worker, action);
    if (trained || pulled) begin_sum(worker, action.stage);
    at.asked = true;
  }
  if (action.op == Op::forward) expect_gradient(worker, action.stage);
  if (trained || action.op == Op::update) {
    const auto sum = at.sums.find(action.stage);
    if (sum != at.sums.end()) {
      if (!await(worker, sum->second, at.played.replicas_s)) return false;
      at.sums.erase(sum);
    }
  }
  if (action.op == Op::update) be_busy(worker, action);
  if (trained) publish(worker, action);
  return true;
}

bool SchedulePlayer::fill_shadows(int worker, const Action& action) {
  Place& at = place(worker);
  const double ready_s = snapshots_.ready_s(action.stage, worker, turn(worker).step);
  if (ready_s == never) return false;
  const double filled_s = std::max(at.now_s, ready_s) + of_stage(options_.snapshots.fill_s, action.stage);
  at.played.snapshot_s += filled_s - at.now_s;
  at.now_s = filled_s;
  return true;
}

// Of replicas the first publishes.
void SchedulePlayer::publish(int worker, const Action& action) {
  Place& at = place(worker);
  const SnapshotTraffic& snapshots = options_.snapshots;
  const std::int64_t version = turn(worker).step + 1;
  if (workers_of(action.stage).front() != worker || !snapshots.policy.publishes(version)) return;
  const double copying_s = of_stage(snapshots.publish_s, action.stage);
  at.played.snapshot_s += copying_s;
  at.now_s += copying_s;
  snapshots_.publish(action.stage, version, at.now_s);
}

// What was sent has to have left.
bool SchedulePlayer::leave(int worker) {
  Place& at = place(worker);
  for (const int lane : lanes_from(worker))
    for (auto& sent = ends(lane).sent; !sent.empty(); sent.pop_front()) {
      if (!await(worker, sent.front(), at.played.waited_s)) return false;
      at.asked = false;
    }
  return true;
}

}  // namespace lamina
