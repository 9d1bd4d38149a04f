#include "schedule_snapshots.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace lamina {

ScheduleSnapshots::ScheduleSnapshots(const Schedule& schedule, const PlayOptions& options, Wake wake)
    : policy_(options.snapshots.policy),
      wake_(std::move(wake)),
      from_(static_cast<std::size_t>(schedule.num_stages)),
      to_(static_cast<std::size_t>(schedule.num_stages)) {
  if (policy_.newest_wins) return;  // nobody waits
  const SnapshotTraffic& traffic = options.snapshots;
  const std::vector<std::vector<int>> workers = workers_by_stage(schedule);
  for (std::size_t reader = 0; reader < traffic.reads.size(); ++reader)
    for (const int owner : traffic.reads[reader])
      for (const int worker : workers[reader]) {
        const int owner_worker = workers[static_cast<std::size_t>(owner)].front();
        const bool travels = traffic.link && owner_worker != worker;
        from_[static_cast<std::size_t>(owner)].push_back(edges_.size());
        to_[reader].push_back(edges_.size());
        edges_.push_back({owner,
                          owner_worker,
                          static_cast<int>(reader),
                          worker,
                          travels ? traffic.link(owner, static_cast<int>(reader)) : LinkTime{},
                          {0.0}});
      }
}

const double* ScheduleSnapshots::find(const Edge& edge, std::int64_t step) const {
  const auto place = static_cast<std::size_t>(policy_.version_for(step) / policy_.every - edge.first);
  return place < edge.there_s.size() ? &edge.there_s[place] : nullptr;
}

double ScheduleSnapshots::ready_s(int stage, int worker, std::int64_t step) {
  double ready_s = 0;
  for (const std::size_t i : to_[static_cast<std::size_t>(stage)]) {
    Edge& edge = edges_[i];
    if (edge.worker != worker) continue;
    const double* there_s = find(edge, step);
    if (there_s == nullptr) return never;
    ready_s = std::max(ready_s, *there_s);
    for (; edge.first < policy_.version_for(step) / policy_.every; ++edge.first) edge.there_s.pop_front();
  }
  return ready_s;
}

void ScheduleSnapshots::publish(int stage, std::int64_t version, double now_s) {
  if (!policy_.publishes(version)) return;
  for (const std::size_t i : from_[static_cast<std::size_t>(stage)]) {
    Edge& edge = edges_[i];
    edge.free_s = std::max(edge.free_s, now_s) + edge.link.occupied_s;
    edge.there_s.push_back(edge.free_s + edge.link.latency_s);
    wake_(edge.worker);
  }
}

Wait ScheduleSnapshots::wait_for(int stage, int worker, std::int64_t step) const {
  for (const std::size_t i : to_[static_cast<std::size_t>(stage)]) {
    const Edge& edge = edges_[i];
    if (edge.worker == worker && find(edge, step) == nullptr)
      return {fmt::format("waits for version {} of stage {}, which worker {} has not come to",
                          policy_.version_for(step), edge.owner, edge.owner_worker),
              edge.owner_worker};
  }
  return {"waits for snapshots", worker};
}

}  // namespace lamina
