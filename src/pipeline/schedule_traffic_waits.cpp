#include <fmt/format.h>

#include <algorithm>

#include "schedule_traffic.hpp"

namespace lamina {

std::string ScheduleTraffic::text(const TrafficCall& call) const {
  if (!is_lane(call.channel))
    return fmt::format("sum {} of stage {}", call.number, call.channel - num_lanes_);
  return fmt::format("message {} of lane {}", call.number, call.channel);
}

bool ScheduleTraffic::is_queued(int worker, const TrafficCall& call) const {
  for (const Group& group : queues_[static_cast<std::size_t>(worker)].groups)
    for (const TrafficCall& queued : group.calls)
      if (queued.channel == call.channel && queued.number == call.number) return true;
  return false;
}

Wait ScheduleTraffic::wait_for(const TrafficCall& call) const {
  const Meeting* here = find(call);
  const std::vector<int>& workers = channels_[static_cast<std::size_t>(call.channel)].workers;
  const int own = worker_of(call);
  for (std::size_t member = 0; here && member < workers.size(); ++member) {
    if (here->came_s[member] < never || workers[member] == own) continue;
    const char* missing = !is_lane(call.channel) ? "joined" : member == 0 ? "sent" : "taken";
    return {fmt::format("waits for {}, which worker {} has not {}", text(call), workers[member], missing),
            workers[member], is_queued(workers[member], call)};
  }
  // All others have come to it, or to nothing yet: it stands behind something else in the own queue.
  if (over_nccl()) return wait_of_queue(own);
  return {fmt::format("waits for {}", text(call)), workers[call.member == 0 ? 1 : 0]};
}

Wait ScheduleTraffic::wait_of_queue(int worker) const {
  const Queue& queue = queues_[static_cast<std::size_t>(worker)];
  if (queue.groups.empty()) return {"has an empty NCCL queue", worker};
  for (const TrafficCall& call : queue.groups.front().calls) {
    const Meeting* here = find(call);
    if (!here || here->num_came == here->came_s.size()) continue;
    Wait wait = wait_for(call);
    wait.what = "has an NCCL queue that " + wait.what;
    return wait;
  }
  return {"has an NCCL queue that stands still", worker};
}

}  // namespace lamina
