#pragma once

#include <algorithm>
#include <cstdint>

namespace lamina {

/// Which time is drawn: equal keys draw equal factors, whoever asks and in whatever order.
struct JitterKey {
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;  ///< a stage's
  std::uint64_t number = 0;  ///< a step's
};

/// What a time of mean 1 comes to: log-normal with that standard deviation; 1 where it is 0.
double jitter(double deviation, const JitterKey& key);

/// Has set times come out right on the mean: a sleeper wakes late, and what one sleep took too long is taken
/// off the next. What is more than a whole set time is a stall of the machine's, which nobody makes up for.
class SleepDebt {
 public:
  /// Seconds to sleep where so many are set.
  double due_s(double set_s) const { return std::max(0.0, set_s - owed_s_); }
  /// So long has a sleep taken that was to be due_s(set_s).
  void slept(double set_s, double took_s) { owed_s_ = std::min(owed_s_ + took_s - set_s, set_s); }

 private:
  double owed_s_ = 0;
};

}  // namespace lamina
