#include "lamina/pipeline/snapshot_plane.hpp"

#include <algorithm>

namespace lamina {

// All parts of a version in one copy.
void SnapshotPlane::copy_and_publish(const Stage& stage, const std::vector<std::string>& parts,
                                     std::int64_t version) {
  if (!publishes_ || parts.empty()) return;
  std::vector<at::Tensor> tensors;
  std::vector<std::pair<std::string, std::size_t>> ends;  // of the parts among the tensors
  for (const std::string& part : parts) {
    const std::vector<at::Tensor> more = stage.part_tensors(part);
    tensors.insert(tensors.end(), more.begin(), more.end());
    ends.emplace_back(part, tensors.size());
  }
  copies_->download(tensors, [this, ends = std::move(ends), version](const std::vector<at::Tensor>& copies) {
    auto first = copies.begin();
    for (const auto& [part, end] : ends) {
      const auto last = copies.begin() + static_cast<std::ptrdiff_t>(end);
      publish_part(std::make_shared<const Snapshot>(
          Snapshot{.part = part, .version = version, .tensors = {first, last}}));
      first = last;
    }
  });
}

void SnapshotPlane::publish_part(const SnapshotPtr& snapshot) {
  if (!publishes_) return;
  board_->publish(snapshot);
  if (deliver_) deliver_(snapshot);
}

void SnapshotPlane::publish_first(const Stage& stage, std::int64_t step, const std::vector<Snapshot>& saved) {
  std::vector<std::string> missing;
  for (const std::string& part : stage.spec().published) {
    bool current = false;
    for (const Snapshot& snapshot : saved) {
      if (snapshot.part != part) continue;
      publish_part(std::make_shared<const Snapshot>(snapshot));
      current |= snapshot.version == step;
    }
    if (!current && (policy_.newest_wins || policy_.publishes(step))) missing.push_back(part);
  }
  copy_and_publish(stage, missing, step);
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
    stage.fill(*snapshot, *copies_);
  }
  return report;
}

void SnapshotPlane::publish(const Stage& stage, std::int64_t version) {
  if (policy_.publishes(version)) copy_and_publish(stage, stage.spec().published, version);
}

std::vector<SnapshotPlane::SnapshotPtr> SnapshotPlane::to_save(const Stage& stage, std::int64_t step) const {
  std::vector<SnapshotPtr> saved;
  if (policy_.newest_wins) return saved;
  copies_->finish();
  for (const std::string& part : stage.spec().published)
    for (const SnapshotPtr& snapshot : board_->held(part))
      if (snapshot->version >= policy_.version_for(step) && snapshot->version < step)
        saved.push_back(snapshot);
  return saved;
}

}  // namespace lamina
