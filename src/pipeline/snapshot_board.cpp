#include "lamina/pipeline/snapshot_board.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lamina/core/error.hpp"
#include "lamina/core/log.hpp"

namespace lamina {

namespace {

using Versions = std::deque<SnapshotBoard::SnapshotPtr>;

std::string newest(const Versions& versions) {
  return versions.empty() ? "no version is there"
                          : fmt::format("the newest there is version {}", versions.back()->version);
}

std::string reader() {
  return log_label().empty() ? "a reader" : log_label();
}

}  // namespace

SnapshotBoard::SnapshotBoard(std::size_t depth) : depth_(depth) {
  if (depth == 0)
    throw Error(ErrorKind::contract, "a snapshot board holds at least 1 version, found depth 0");
}

void SnapshotBoard::publish(SnapshotPtr snapshot) {
  SnapshotPtr gone;  // freed after the lock, since freeing large tensors takes its time
  const std::lock_guard lock(mutex_);
  Versions& versions = parts_[snapshot->part];
  if (!versions.empty() && snapshot->version <= versions.back()->version) {
    throw Error(ErrorKind::contract,
                fmt::format("versions of {} only grow, but version {} was published when {}", snapshot->part,
                            snapshot->version, newest(versions)));
  }
  versions.push_back(std::move(snapshot));
  if (versions.size() > depth_) {
    gone = std::move(versions.front());
    versions.pop_front();
  }
  changed_.notify_all();
}

SnapshotBoard::SnapshotPtr SnapshotBoard::latest(const std::string& part) const {
  const std::lock_guard lock(mutex_);
  const Versions& there = versions(part);
  return there.empty() ? nullptr : there.back();
}

SnapshotBoard::SnapshotPtr SnapshotBoard::at(const std::string& part, std::int64_t version,
                                             Seconds limit) const {
  std::unique_lock lock(mutex_);
  const auto is_decided = [&] {
    const Versions& there = versions(part);
    return closed_ || (!there.empty() && there.back()->version >= version);
  };
  changed_.wait_for(lock, for_a_wait(limit), is_decided);

  const Versions& there = versions(part);
  const auto found = std::find_if(there.begin(), there.end(),
                                  [version](const SnapshotPtr& held) { return held->version >= version; });
  if (found != there.end() && (*found)->version == version) return *found;
  if (found != there.end()) {
    throw Error(
        ErrorKind::contract,
        fmt::format("{} needs version {} of {}, which has gone or was never published: the oldest there "
                    "is version {}, the newest version {}",
                    reader(), version, part, there.front()->version, there.back()->version));
  }
  if (closed_) throw Error(ErrorKind::peer_lost, *closed_);
  throw Error(ErrorKind::timeout, fmt::format("{} waited {} s for version {} of {}; {}", reader(),
                                              limit.count(), version, part, newest(there)));
}

std::vector<SnapshotBoard::SnapshotPtr> SnapshotBoard::held(const std::string& part) const {
  const std::lock_guard lock(mutex_);
  const Versions& there = versions(part);
  return {there.begin(), there.end()};
}

void SnapshotBoard::begin_line(std::int64_t number) {
  const std::lock_guard lock(mutex_);
  if (number <= line_) return;
  line_ = number;
  parts_.clear();
}

void SnapshotBoard::close(const std::string& reason) noexcept {
  const std::lock_guard lock(mutex_);
  if (!closed_) closed_ = reason;
  changed_.notify_all();
}

const Versions& SnapshotBoard::versions(const std::string& part) const {
  static const Versions none;
  const auto found = parts_.find(part);
  return found == parts_.end() ? none : found->second;
}

}  // namespace lamina
