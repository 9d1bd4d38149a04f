#pragma once

#include <c10/core/Device.h>

#include <memory>
#include <vector>

#include "lamina/core/clock.hpp"

namespace lamina {

/// When a device did what it was given, by the host's clock: a GPU computes behind its host, so the time at
/// which an operation returns says when it was given, not when it was done.
///
/// Threads    one.
/// Blocking   never.
/// Precision  between marks that follow each other the device's own; by the host's clock as far as the device
/// was seen:
///            no mark lies before it was made or found not to be passed, nor after it was found to be passed.
class DeviceClock {
 public:
  explicit DeviceClock(at::Device device);
  ~DeviceClock();

  /// Marks the point in the calling thread's current stream behind all that it has been given so far.
  void mark();

  /// When the device passed the oldest marks, in their order, as far as it has; each is told once.
  std::vector<Clock::time_point> passed();

 private:
  class Marks;
  std::unique_ptr<Marks> marks_;
};

}  // namespace lamina
