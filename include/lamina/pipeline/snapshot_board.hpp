#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "lamina/comm/snapshot.hpp"
#include "lamina/core/clock.hpp"

namespace lamina {

/// Versions of parts that their owners have published, for those who shadow them.
///
/// Threads   any thread may call any member.
/// Blocking  only at() waits, and only for a version that may still come; the others take as long as a swap.
/// Memory    a version is held by the board and by who has taken it; nothing is copied.
class SnapshotBoard {
 public:
  using SnapshotPtr = std::shared_ptr<const Snapshot>;

  /// `depth`: versions held of each part. Beyond it the oldest goes. @throws Error{contract} if it is 0.
  explicit SnapshotBoard(std::size_t depth);

  /// Adds a version to its part. After close() too: what is there can always be read.
  /// @throws Error{contract} if it is not newer than the newest held.
  void publish(SnapshotPtr snapshot);

  /// The newest version, or nullptr if none has been published yet. Never waits.
  SnapshotPtr latest(const std::string& part) const;

  /// Exactly this version; waits until it is published.
  /// @throws Error{timeout} after `limit`; Error{contract} if it has gone, or was skipped; Error{peer_lost}
  /// with close()'s reason, rather than wait.
  SnapshotPtr at(const std::string& part, std::int64_t version, Seconds limit) const;

  /// All versions held of a part, the oldest first.
  std::vector<SnapshotPtr> held(const std::string& part) const;

  /// Forgets all versions, which are of a line of training that has been abandoned: called by every worker,
  /// with the number of lines before, once nobody of the old one publishes or reads any more. The first call
  /// of a number forgets.
  void begin_line(std::int64_t number);

  /// Nothing is worth waiting for any more: wakes everybody who waits. The first reason stays.
  void close(const std::string& reason) noexcept;

 private:
  const std::deque<SnapshotPtr>& versions(const std::string& part) const;

  const std::size_t depth_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::map<std::string, std::deque<SnapshotPtr>> parts_;
  std::int64_t line_ = 0;
  std::optional<std::string> closed_;
};

}  // namespace lamina
