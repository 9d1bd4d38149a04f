#include "lamina/pipeline/snapshot_plane.hpp"

#include <algorithm>

namespace lamina {

void SnapshotPlane::publish_part(const SnapshotPtr& snapshot) {
  if (!publishes_) return;
  board_->publish(snapshot);
  if (deliver_) deliver_(snapshot);
}

void SnapshotPlane::publish_first(const Stage& stage, std::int64_t step, const std::vector<Snapshot>& saved) {
  for (const std::string& part : stage.spec().published) {
    bool current = false;
    for (const Snapshot& snapshot : saved) {
      if (snapshot.part != part) continue;
      publish_part(std::make_shared<const Snapshot>(snapshot));
      current |= snapshot.version == step;
    }
    if (!current && (policy_.newest_wins || policy_.publishes(step)))
      publish_part(std::make_shared<const Snapshot>(stage.copy_part(part, step)));
  }
}

void SnapshotPlane::await_first(const Stage& stage, std::int64_t step) const {
  for (const std::string& part : stage.spec().shadowed()) board_->at(part, first_version(step), limit_);
}

StageReport SnapshotPlane::refresh(Stage& stage, std::int64_t step) const {
  StageReport report;
  for (const auto& [part, tensors] : stage.shadows()) {
    SnapshotPtr snapshot;
    if (policy_.newest_wins) {
      snapshot = board_->latest(part);
    } else {
      const Stopwatch watch;
      snapshot = board_->at(part, policy_.version_for(step), limit_);
      report.snapshot_wait_s += watch.elapsed_s();
    }
    report.age_steps = std::max(report.age_steps, step - snapshot->version);
    stage.fill(*snapshot);
  }
  return report;
}

void SnapshotPlane::publish(const Stage& stage, std::int64_t version) {
  if (!policy_.publishes(version)) return;
  for (const std::string& part : stage.spec().published)
    publish_part(std::make_shared<const Snapshot>(stage.copy_part(part, version)));
}

std::vector<SnapshotPlane::SnapshotPtr> SnapshotPlane::to_save(const Stage& stage, std::int64_t step) const {
  std::vector<SnapshotPtr> saved;
  if (policy_.newest_wins) return saved;
  for (const std::string& part : stage.spec().published)
    for (const SnapshotPtr& snapshot : board_->held(part))
      if (snapshot->version >= policy_.version_for(step) && snapshot->version < step)
        saved.push_back(snapshot);
  return saved;
}

}  // namespace lamina
