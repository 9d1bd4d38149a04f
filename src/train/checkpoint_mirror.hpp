#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <thread>

namespace lamina {

/// Copies complete checkpoints to a second directory (checkpoint.mirror), beside everything else.
///
/// A copy is made aside and renamed, as a checkpoint is. Of several that wait the newest is copied alone. A
/// copy that fails is logged and counted, and harms nothing.
///
/// Threads  any; a thread of its own copies.
class CheckpointMirror {
 public:
  /// `keep`: newest ones kept there.
  CheckpointMirror(std::filesystem::path directory, std::int64_t keep);
  /// Waits for the copy under way, or waiting.
  ~CheckpointMirror();
  CheckpointMirror(const CheckpointMirror&) = delete;
  CheckpointMirror& operator=(const CheckpointMirror&) = delete;

  /// Never waits.
  void copy(const std::filesystem::path& checkpoint);
  /// Waits until nothing is left to be copied.
  void finish();
  std::int64_t num_failures() const;

 private:
  void serve();
  void copy_now(const std::filesystem::path& checkpoint) const;

  const std::filesystem::path directory_;
  const std::int64_t keep_;
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::optional<std::filesystem::path> next_;
  bool is_busy_ = false;
  bool ending_ = false;
  std::int64_t num_failures_ = 0;
  std::thread thread_;
};

}  // namespace lamina
