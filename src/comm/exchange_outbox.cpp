#include "comm/exchange_outbox.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "comm/lane_check.hpp"

namespace lamina {

void ExchangeOutbox::put(Frame frame) {
  const std::lock_guard lock(mutex_);
  if (closed_) return;
  const auto is_same_part = [&](const Frame& other) { return other.snapshot->part == frame.snapshot->part; };
  if (newest_wins_) {
    const auto older = std::find_if(frames_.begin(), frames_.end(), is_same_part);
    if (older != frames_.end()) {
      std::swap(*older, frame);
      return;
    }
  } else if (std::count_if(frames_.begin(), frames_.end(), is_same_part) >=
             static_cast<std::ptrdiff_t>(depth_)) {
    refuse(fmt::format("version {} of {} would be sent while {} earlier ones wait, the most that may",
                       frame.snapshot->version, frame.snapshot->part, depth_));
  }
  frames_.push_back(std::move(frame));
}

std::optional<Frame> ExchangeOutbox::take() {
  const std::lock_guard lock(mutex_);
  if (frames_.empty()) return std::nullopt;
  std::optional<Frame> next(std::move(frames_.front()));
  frames_.pop_front();
  return next;
}

void ExchangeOutbox::close() {
  if (newest_wins_) return drop();
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

void ExchangeOutbox::drop() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  frames_.clear();
}

}  // namespace lamina
