#pragma once

#include <deque>
#include <optional>

#include "lamina/comm/device_clock.hpp"
#include "lamina/pipeline/timeline.hpp"

namespace lamina {

/// What a worker's device does of the actions that its host gives it. Nothing where the host itself computes.
///
/// Threads  one, the worker's.
class DeviceSpans {
 public:
  explicit DeviceSpans(at::Device device);

  /// What the current stream is given between the two belongs to `action`, whose times are not read.
  void begin();
  void end(const Span& action);

  /// Adds what the device has finished since the last call.
  void add_to(Timeline& timeline);

 private:
  std::optional<DeviceClock> clock_;
  std::deque<Span> given_;
  std::deque<Clock::time_point> passed_;  // a beginning and an end each
};

}  // namespace lamina
