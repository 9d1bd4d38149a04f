#pragma once

#include <termios.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "lamina/core/clock.hpp"

namespace lamina {

/// The whole terminal, for frames that are drawn one over another: no echo, no cursor, and what was there
/// before comes back with the destructor. One at a time; SIGINT, SIGTERM and SIGHUP end wait() while it
/// lives.
class Terminal {
 public:
  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  std::size_t columns() const;
  std::size_t rows() const;

  void draw(const std::vector<std::string>& lines) const;

  enum class Event { time, key_q, resized, signal };
  /// Waits until something happens or the time is over. Other keys are passed over.
  Event wait(Seconds limit) const;

 private:
  std::optional<termios> before_;  // of the keyboard, where there is one
};

}  // namespace lamina
