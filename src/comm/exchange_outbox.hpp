#pragma once

#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>

#include "comm/exchange_frame.hpp"

namespace lamina {

/// The snapshots that wait to be written to one peer. Any thread may call any member; none waits.
class ExchangeOutbox {
 public:
  ExchangeOutbox(bool newest_wins, std::size_t depth) : newest_wins_(newest_wins), depth_(depth) {}

  /// Puts a frame in line. If the newest wins, it takes the place of one of its part that is in line, so no
  /// part falls behind by being published often. Once closed, drops it.
  /// @throws Error{contract} if the newest does not win and `depth` frames of its part are in line.
  void put(Frame frame);

  /// The next frame, or nothing.
  std::optional<Frame> take();

  /// Nothing goes in any more. What is in line stays if every snapshot is to be sent.
  void close();

  /// Nothing goes in any more, and nothing stays.
  void drop();

 private:
  const bool newest_wins_;
  const std::size_t depth_;
  std::mutex mutex_;
  std::deque<Frame> frames_;
  bool closed_ = false;
};

}  // namespace lamina
