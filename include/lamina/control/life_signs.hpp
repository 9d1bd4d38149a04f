#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "lamina/core/clock.hpp"

namespace lamina {

/// What a worker is about, for whoever judges it.
enum class Doing {
  work,  ///< something of its own
  wait,  ///< for another worker, so that it stands still is not its own doing
  rest,  ///< before or behind the stream: nothing is to be expected
};

/// A worker's word that it is there.
struct Beat {
  std::int64_t moves = 0;  ///< actions begun so far: it grows as long as the worker gets on
  Doing doing = Doing::rest;
  int exit_code = 0;  ///< not 0: it has failed, and is ending with this code
};

/// What is known of a worker.
struct LifeSigns {
  /// Nothing yet; what it is accused of counts from `now`.
  explicit LifeSigns(Clock::time_point now) : heard(now), moved(now) {}

  void take(const Beat& newer, Clock::time_point now);
  /// Whoever listens was held up for so long itself, which is nobody's silence.
  void pardon(Clock::duration held_up);

  Beat beat{};
  Clock::time_point heard;  ///< when the last beat came
  Clock::time_point moved;  ///< when it last had begun an action
  bool gone = false;        ///< its connection has broken
};

enum class Condition {
  well,
  slow,    ///< it has been silent, or has kept others waiting in one action, for longer than is usual
  stuck,   ///< beats come, but it does not get on, and others wait for it; or nobody gets on
  lost,    ///< its connection is gone, or no beat has come for the limit
  failed,  ///< it has said so
};

struct LifeLimits {
  Seconds slow;   ///< a standstill that is worth a line
  Seconds limit;  ///< a standstill that ends the run
};

/// How every worker is. A function of its arguments alone: the same signs at the same time are judged alike.
std::vector<Condition> judge(const std::vector<LifeSigns>& workers, const LifeLimits& limits,
                             Clock::time_point now);

/// What ends a run.
struct EndCause {
  Condition condition = Condition::well;  ///< stuck, lost or failed
  int worker = -1;  ///< whose condition it is; -1: all wait for one another, and nobody is to blame
  friend bool operator==(const EndCause&, const EndCause&) = default;
};

/// What ends a run, if anything does: who has failed goes before who is lost, and that before who is
/// stuck; of several stuck ones the first who was.
std::optional<EndCause> end_cause(const std::vector<LifeSigns>& workers, const LifeLimits& limits,
                                  Clock::time_point now);

}  // namespace lamina
