#include "checkpoint_mirror.hpp"

#include <fmt/format.h>

#include <utility>

#include "checkpoint_format.hpp"
#include "lamina/core/files.hpp"
#include "lamina/core/log.hpp"

namespace lamina {

namespace fs = std::filesystem;

CheckpointMirror::CheckpointMirror(fs::path directory, std::int64_t keep)
    : directory_(std::move(directory)), keep_(keep), thread_([this, label = log_label()] {
        set_log_label(label);
        serve();
      }) {}

CheckpointMirror::~CheckpointMirror() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void CheckpointMirror::copy(const fs::path& checkpoint) {
  const std::lock_guard lock(mutex_);
  next_ = checkpoint;
  changed_.notify_all();
}

void CheckpointMirror::finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !next_ && !is_busy_; });
}

std::int64_t CheckpointMirror::num_failures() const {
  const std::lock_guard lock(mutex_);
  return num_failures_;
}

void CheckpointMirror::copy_now(const fs::path& checkpoint) const {
  const fs::path complete = directory_ / checkpoint.filename();
  if (fs::exists(complete)) return;
  const fs::path partial = complete.string() + partial_ending;
  remove_directory(partial);
  make_directory(partial);
  try {
    for (const auto& entry : fs::directory_iterator(checkpoint))
      copy_durably(entry.path(), partial / entry.path().filename());
    rename_durably(partial, complete);
  } catch (...) {
    std::error_code stays;
    fs::remove_all(partial, stays);
    throw;
  }
  remove_old_checkpoints(directory_, keep_);
}

void CheckpointMirror::serve() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ending_ || next_; });
    if (!next_) return;
    const fs::path checkpoint = *std::exchange(next_, std::nullopt);
    is_busy_ = true;
    lock.unlock();
    std::string failure;
    try {
      copy_now(checkpoint);
    } catch (const std::exception& e) {
      failure = e.what();
    }
    std::error_code unreadable;
    const bool is_outdated = !fs::exists(checkpoint, unreadable);  // deleted meanwhile: newer ones follow
    if (!failure.empty() && !is_outdated)
      log_warning(fmt::format("checkpoint.mirror: {} was not copied: {}", checkpoint.string(), failure));
    lock.lock();
    if (!failure.empty() && !is_outdated) ++num_failures_;
    is_busy_ = false;
    changed_.notify_all();
  }
}

}  // namespace lamina
