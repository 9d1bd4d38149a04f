#pragma once

#include <algorithm>
#include <chrono>

namespace lamina {

/// Durations are doubles of seconds throughout.
using Seconds = std::chrono::duration<double>;
using Clock = std::chrono::steady_clock;

/// A limit for the standard library's waits. A day is endless there, and does not overflow the clock as an
/// infinite limit would.
constexpr Seconds for_a_wait(Seconds limit) {
  return std::min(limit, Seconds(86400));
}

/// Seconds since construction, or since the last lap.
class Stopwatch {
 public:
  double elapsed_s() const { return Seconds(Clock::now() - start_).count(); }

  /// Seconds since construction or the previous lap; starts the next lap at the same instant, so that laps
  /// add up to the whole.
  double lap_s() {
    const Clock::time_point now = Clock::now();
    const double s = Seconds(now - start_).count();
    start_ = now;
    return s;
  }

 private:
  Clock::time_point start_ = Clock::now();
};

}  // namespace lamina
