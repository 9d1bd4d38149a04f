#include "schedule_traffic.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lamina/core/error.hpp"

namespace lamina {

bool feeds_back(const SnapshotTraffic& snapshots) {
  return !snapshots.policy.newest_wins && snapshots.policy.lag == 0 &&
         std::any_of(snapshots.reads.begin(), snapshots.reads.end(),
                     [](const auto& read) { return !read.empty(); });
}

ScheduleTraffic::ScheduleTraffic(const Schedule& schedule, const PlayOptions& options, Wake wake)
    : carrier_(options.carrier),
      num_lanes_(static_cast<int>(schedule.lanes.size())),
      wake_(std::move(wake)),
      queues_(schedule.rounds.size()) {
  const auto add = [this](const std::vector<int>& workers, const LinkTime& link) {
    channels_.push_back({workers, link, std::vector<std::int64_t>(workers.size(), 0), {}});
  };
  for (int lane = 0; lane < num_lanes_; ++lane) {
    const ScheduleLane& route = schedule.lanes[static_cast<std::size_t>(lane)];
    add({route.from, route.to}, options.link ? options.link(lane) : LinkTime{});
    queues_[static_cast<std::size_t>(route.from)].receives_hold_nothing_back = false;
  }
  const std::vector<std::vector<int>> workers = workers_by_stage(schedule);
  for (std::size_t stage = 0; stage < workers.size(); ++stage) {
    add(workers[stage], {.occupied_s = options.sum_s ? options.sum_s(static_cast<int>(stage)) : 0});
    if (workers[stage].size() > 1 || feeds_back(options.snapshots))  // NcclOptions are the same for all
      for (Queue& queue : queues_) queue.receives_hold_nothing_back = false;
  }
}

int ScheduleTraffic::worker_of(const TrafficCall& call) const {
  return channels_[static_cast<std::size_t>(call.channel)].workers[static_cast<std::size_t>(call.member)];
}

ScheduleTraffic::Meeting& ScheduleTraffic::meeting(const TrafficCall& call) {
  Channel& channel = channels_[static_cast<std::size_t>(call.channel)];
  while (channel.first + static_cast<std::int64_t>(channel.meetings.size()) <= call.number)
    channel.meetings.emplace_back(channel.workers.size());
  return channel.meetings[static_cast<std::size_t>(call.number - channel.first)];
}

const ScheduleTraffic::Meeting* ScheduleTraffic::find(const TrafficCall& call) const {
  const Channel& channel = channels_[static_cast<std::size_t>(call.channel)];
  const auto place = static_cast<std::size_t>(call.number - channel.first);
  return place < channel.meetings.size() ? &channel.meetings[place] : nullptr;
}

TrafficCall ScheduleTraffic::new_call(int channel, int member) {
  return {channel, member,
          channels_[static_cast<std::size_t>(channel)].num_calls[static_cast<std::size_t>(member)]++};
}

TrafficCall ScheduleTraffic::send(int lane, double now_s) {
  const TrafficCall call = new_call(lane, 0);
  if (!over_nccl()) {
    come(call, now_s);
    return call;
  }
  const int worker = worker_of(call);
  Queue& queue = queues_[static_cast<std::size_t>(worker)];
  queue.held_sends.push_back(call);
  if (queue.held_receives.empty()) issue_sends(worker, now_s);
  return call;
}

TrafficCall ScheduleTraffic::post_receive(int lane, double now_s) {
  const TrafficCall call = new_call(lane, 1);
  if (!over_nccl()) {
    come(call, now_s);
    return call;
  }
  const int worker = worker_of(call);
  Queue& queue = queues_[static_cast<std::size_t>(worker)];
  if (carrier_ == Carrier::nccl_prefetching || queue.receives_hold_nothing_back)
    issue(worker, {call}, now_s);
  else
    queue.held_receives.push_back(call);
  return call;
}

TrafficCall ScheduleTraffic::begin_sum(int stage, int worker, double now_s) {
  const std::vector<int>& workers = channels_[static_cast<std::size_t>(num_lanes_ + stage)].workers;
  const auto member = std::find(workers.begin(), workers.end(), worker) - workers.begin();
  const TrafficCall call = new_call(num_lanes_ + stage, static_cast<int>(member));
  if (!over_nccl()) {
    come(call, now_s);
    return call;
  }
  issue_sends(worker, now_s);
  issue(worker, {call}, now_s);
  return call;
}

void ScheduleTraffic::ask(const TrafficCall& call, double now_s) {
  if (!over_nccl()) return;
  const int worker = worker_of(call);
  Queue& queue = queues_[static_cast<std::size_t>(worker)];
  const auto is_call = [&](const TrafficCall& held) {
    return held.channel == call.channel && held.number == call.number;
  };
  if (call.member == 0) {
    if (std::any_of(queue.held_sends.begin(), queue.held_sends.end(), is_call)) issue_sends(worker, now_s);
    return;
  }
  std::vector<TrafficCall> group = std::exchange(queue.held_sends, {});
  const auto held = std::find_if(queue.held_receives.begin(), queue.held_receives.end(), is_call);
  if (held != queue.held_receives.end()) {
    group.push_back(*held);
    queue.held_receives.erase(held);
  }
  issue(worker, std::move(group), now_s);
}

double ScheduleTraffic::done_s(const TrafficCall& call) const {
  const Meeting* found = find(call);
  return found ? found->done_s[static_cast<std::size_t>(call.member)] : never;
}

void ScheduleTraffic::forget(const TrafficCall& call) {
  ++meeting(call).num_forgotten;
  Channel& channel = channels_[static_cast<std::size_t>(call.channel)];
  while (!channel.meetings.empty() && channel.meetings.front().num_forgotten == channel.workers.size()) {
    channel.meetings.pop_front();
    ++channel.first;
  }
}

void ScheduleTraffic::come(const TrafficCall& call, double now_s) {
  Meeting& here = meeting(call);
  here.came_s[static_cast<std::size_t>(call.member)] = now_s;
  Channel& channel = channels_[static_cast<std::size_t>(call.channel)];
  if (++here.num_came < channel.workers.size()) return;
  const double begin_s = std::max(channel.free_s, *std::max_element(here.came_s.begin(), here.came_s.end()));
  channel.free_s = begin_s + channel.link.occupied_s;
  for (std::size_t member = 0; member < channel.workers.size(); ++member)
    settle({call.channel, static_cast<int>(member), call.number}, channel.free_s + channel.link.latency_s);
}

// Over NCCL a call is done once its whole group is, which now is the first of the worker's queue.
void ScheduleTraffic::settle(const TrafficCall& call, double end_s) {
  const int worker = worker_of(call);
  if (!over_nccl()) {
    meeting(call).done_s[static_cast<std::size_t>(call.member)] = end_s;
    wake_(worker);
    return;
  }
  Group& group = queues_[static_cast<std::size_t>(worker)].groups.front();
  --group.num_open;
  group.end_s = std::max(group.end_s, end_s);
  stirred_.push_back(worker);
}

void ScheduleTraffic::issue(int worker, std::vector<TrafficCall> calls, double now_s) {
  if (calls.empty()) return;
  for (const TrafficCall& call : calls) keep_order(call);
  const std::size_t num_open = calls.size();
  queues_[static_cast<std::size_t>(worker)].groups.push_back(
      {.calls = std::move(calls), .issued_s = now_s, .num_open = num_open});
  stirred_.push_back(worker);
  run_queues();
}

void ScheduleTraffic::issue_sends(int worker, double now_s) {
  issue(worker, std::exchange(queues_[static_cast<std::size_t>(worker)].held_sends, {}), now_s);
}

void ScheduleTraffic::run_queues() {
  while (!stirred_.empty()) {
    const int worker = stirred_.back();
    stirred_.pop_back();
    run_queue(worker);
  }
}

void ScheduleTraffic::run_queue(int worker) {
  Queue& queue = queues_[static_cast<std::size_t>(worker)];
  while (!queue.groups.empty()) {
    Group& group = queue.groups.front();
    if (!group.begun) {
      group.begun = true;
      const double begin_s = std::max(queue.free_s, group.issued_s);
      for (const TrafficCall& call : group.calls) come(call, begin_s);
    }
    if (group.num_open > 0) return;
    queue.free_s = group.end_s;
    for (const TrafficCall& call : group.calls)
      meeting(call).done_s[static_cast<std::size_t>(call.member)] = group.end_s;
    queue.groups.pop_front();
    wake_(worker);
  }
}

void ScheduleTraffic::keep_order(const TrafficCall& call) {
  const std::vector<int>& workers = channels_[static_cast<std::size_t>(call.channel)].workers;
  if (is_lane(call.channel)) return keep_order(workers[0], workers[1], call.channel, call.member == 0);
  const int own = worker_of(call);
  for (const int other : workers) {
    if (other == own) continue;
    keep_order(own, other, call.channel, /*sends=*/true);
    keep_order(other, own, call.channel, /*sends=*/false);
  }
}

void ScheduleTraffic::keep_order(int from, int to, int channel, bool sends) {
  PairOrder& order = order_[{from, to}];
  std::deque<int>& other = sends ? order.receives : order.sends;
  if (other.empty()) {
    (sends ? order.sends : order.receives).push_back(channel);
    return;
  }
  if (other.front() != channel) {
    const auto name = [this](int c) {
      return is_lane(c) ? fmt::format("lane {}", c) : fmt::format("a sum of stage {}", c - num_lanes_);
    };
    throw Error(
        ErrorKind::contract,
        fmt::format("over NCCL worker {} takes what worker {} sends in the order of the sends, but {} "
                    "meets {}",
                    to, from, name(sends ? channel : other.front()), name(sends ? other.front() : channel)));
  }
  other.pop_front();
}

}  // namespace lamina
