#include "checkpoint_mirror.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "checkpoint_format.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "lamina/core/log.hpp"
#include "lamina/train/checkpoint.hpp"

namespace lamina {

namespace fs = std::filesystem;

/// Outlives the mirror where its thread hangs.
class CheckpointMirror::Copier {
 public:
  Copier(fs::path directory, std::int64_t keep) : directory_(std::move(directory)), keep_(keep) {}

  /// The thread's.
  void serve();

  void put(const fs::path& checkpoint);
  /// Whether nothing is left to be copied; false if that was given up.
  bool finish(const MirrorPatience& patience);
  void end();
  std::int64_t num_failures() const;

 private:
  void copy_now(const fs::path& checkpoint);
  void go_on();
  void note_failure(const fs::path& checkpoint, const std::string& failure);

  const fs::path directory_;
  const std::int64_t keep_;
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::optional<fs::path> next_;
  Clock::time_point moved_;  // when something last did
  bool is_busy_ = false;
  bool ending_ = false;
  bool is_given_up_ = false;
  std::int64_t num_failures_ = 0;
};

void CheckpointMirror::Copier::put(const fs::path& checkpoint) {
  const std::lock_guard lock(mutex_);
  if (is_given_up_) return;
  if (!is_busy_) moved_ = Clock::now();
  next_ = checkpoint;
  changed_.notify_all();
}

bool CheckpointMirror::Copier::finish(const MirrorPatience& patience) {
  const auto after = [](Clock::time_point begin, Seconds time) {
    return begin + std::chrono::duration_cast<Clock::duration>(time);
  };
  std::unique_lock lock(mutex_);
  const Clock::time_point end = after(Clock::now(), patience.in_all);
  const auto limit = [&] { return std::min(after(moved_, patience.standstill), end); };
  const auto has_ended = [&] { return is_given_up_ || (!next_ && !is_busy_); };
  while (!changed_.wait_until(lock, limit(), has_ended)) {
    const Clock::time_point now = Clock::now();
    if (now < limit()) continue;
    is_given_up_ = true;
    ++num_failures_;
    log_warning(fmt::format(
        "checkpoint.mirror: the copy to {} is not done, and was last heard of {:.0f} s ago: given up, and "
        "left half copied",
        directory_.string(), Seconds(now - moved_).count()));
  }
  return !is_given_up_;
}

void CheckpointMirror::Copier::end() {
  const std::lock_guard lock(mutex_);
  ending_ = true;
  changed_.notify_all();
}

std::int64_t CheckpointMirror::Copier::num_failures() const {
  const std::lock_guard lock(mutex_);
  return num_failures_;
}

void CheckpointMirror::Copier::go_on() {
  const std::lock_guard lock(mutex_);
  if (is_given_up_) throw Error(ErrorKind::storage, "given up");
  moved_ = Clock::now();
}

void CheckpointMirror::Copier::copy_now(const fs::path& checkpoint) {
  const fs::path complete = directory_ / checkpoint.filename();
  const fs::path out = checkpoint.parent_path().parent_path();  // which has them in a folder
  // Two runs in one place would take each other's for their own, and delete them as old ones.
  if (std::ranges::count(find_own_checkpoints(directory_, out), complete) > 0) return;
  const fs::path partial = complete.string() + partial_ending;
  remove_partial_checkpoints(directory_);  // of whoever was killed here
  make_directory(partial);
  try {
    for (const auto& entry : fs::directory_iterator(checkpoint))
      copy_durably(entry.path(), partial / entry.path().filename(), [this] { go_on(); });
    rename_durably(partial, complete);
  } catch (...) {
    std::error_code stays;
    fs::remove_all(partial, stays);
    throw;
  }
  remove_old_checkpoints(directory_, keep_);
}

void CheckpointMirror::Copier::note_failure(const fs::path& checkpoint, const std::string& failure) {
  std::error_code unreadable;
  if (!fs::exists(checkpoint, unreadable)) return;  // deleted meanwhile: newer ones follow
  const std::lock_guard lock(mutex_);
  if (is_given_up_) return;
  ++num_failures_;
  log_warning(fmt::format("checkpoint.mirror: {} was not copied: {}", checkpoint.string(), failure));
}

void CheckpointMirror::Copier::serve() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ending_ || is_given_up_ || next_; });
    if (is_given_up_ || !next_) return;
    const fs::path checkpoint = *std::exchange(next_, std::nullopt);
    is_busy_ = true;
    lock.unlock();
    try {
      copy_now(checkpoint);
    } catch (const std::exception& e) {
      note_failure(checkpoint, e.what());
    }
    lock.lock();
    is_busy_ = false;
    moved_ = Clock::now();
    changed_.notify_all();
  }
}

CheckpointMirror::CheckpointMirror(fs::path directory, std::int64_t keep, MirrorPatience patience)
    : patience_(patience),
      copier_(std::make_shared<Copier>(std::move(directory), keep)),
      thread_([copier = copier_, label = log_label()] {
        set_log_label(label);
        copier->serve();
      }) {}

CheckpointMirror::~CheckpointMirror() {
  copier_->end();
  if (copier_->finish(patience_)) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

void CheckpointMirror::copy(const fs::path& checkpoint) {
  copier_->put(checkpoint);
}

void CheckpointMirror::finish() {
  copier_->finish(patience_);
}

std::int64_t CheckpointMirror::num_failures() const {
  return copier_->num_failures();
}

std::shared_ptr<CheckpointMirror> open_mirror(const RunPlan& plan) {
  const CheckpointConfig& config = plan.config.checkpoint;
  if (config.mirror.empty()) return nullptr;
  MirrorPatience patience;
  if (plan.over_mpi) patience.in_all = std::min(patience.in_all, Seconds(plan.config.pipeline.timeout_s / 2));
  return std::make_shared<CheckpointMirror>(config.mirror, config.keep, patience);
}

}  // namespace lamina
