#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "lamina/core/clock.hpp"
#include "lamina/pipeline/schedule.hpp"

namespace lamina {

/// What a worker's seconds go into.
enum class Activity : std::uint8_t {
  compute,
  wait_input,  ///< for the loader, the stage before, or gradients of the stage after
  wait_room,   ///< for whoever receives
  send,        ///< handing a message over; where cores are short, whoever is woken by it may go first
  replicas,    ///< for the gradients of the stage's other replicas
  snapshot,    ///< filling shadows, publishing parts, and waiting for versions
  checkpoint,
  report,  ///< in the sink: metrics, progress
  idle,    ///< after the stream's end, until everybody is done
};

/// An activity by its key ("wait_input") and for people ("wait for input").
struct ActivityName {
  const char* key;
  const char* title;
};
inline constexpr std::array<ActivityName, 9> activity_names = {{{"compute", "compute"},
                                                                {"wait_input", "wait for input"},
                                                                {"wait_room", "wait for room"},
                                                                {"send", "send"},
                                                                {"replicas", "wait for replicas"},
                                                                {"snapshot", "snapshot"},
                                                                {"checkpoint", "checkpoint"},
                                                                {"report", "report"},
                                                                {"idle", "idle"}}};

/// Where a worker's seconds went. Each is timed by itself; what is left of `total` is printed as unaccounted.
struct Account {
  std::array<double, activity_names.size()> seconds{};  ///< by Activity
  double total_s = 0;

  double& operator[](Activity activity) { return seconds[static_cast<std::size_t>(activity)]; }
  double operator[](Activity activity) const { return seconds[static_cast<std::size_t>(activity)]; }
  double accounted_s() const;
  double unaccounted_s() const { return total_s - accounted_s(); }
};

/// One stretch of a worker's time: an action of its schedule, or the part of one that was spent on something
/// else than the rest.
struct Span {
  Clock::time_point start{};
  Clock::time_point end{};
  std::int64_t step = 0;        ///< of the packet in hand
  std::int64_t message = -1;    ///< of receive, join and send: how many the lane had carried before it
  std::int64_t bytes = 0;       ///< that the message holds
  std::int64_t age_steps = -1;  ///< of a training step: of the oldest snapshot that it used
  int stage = -1;
  int lane = -1;
  int micro = 0;
  Op op = Op::compute;
  Activity activity = Activity::compute;
  bool on_device =
      false;  ///< when the worker's device did it; else when its host did, or gave it to the device
};

/// What a worker did, and what its seconds add up to.
///
/// Threads  one, the worker's.
/// Memory   the newest `capacity` spans, set aside once; older ones are overwritten and counted.
class Timeline {
 public:
  static constexpr std::size_t default_capacity = 8'192;  // 0.6 MiB: some 1,300 steps of a streaming worker

  explicit Timeline(std::size_t capacity = default_capacity);

  /// Counts the span's time to its activity if it is the host's, and keeps the span.
  void add(const Span& span);

  Account& account() { return account_; }
  const Account& account() const { return account_; }

  /// Those kept, in the order in which they were added.
  std::vector<Span> spans() const;
  std::int64_t num_overwritten() const;

 private:
  std::vector<Span> ring_;
  std::int64_t num_added_ = 0;
  Account account_;
};

}  // namespace lamina
