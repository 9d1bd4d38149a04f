#include "lamina/comm/device_clock.hpp"

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

namespace lamina {

class DeviceClock::Marks {
 public:
  explicit Marks(at::Device device) : device_(device), backend_(device.type()) {}

  void add() {
    waiting_.push_back({c10::Event(device_.type(), c10::EventFlag::BACKEND_DEFAULT), Clock::now()});
    waiting_.back().event.record(backend_.getStream(device_));
  }

  std::vector<Clock::time_point> passed() {
    std::vector<Clock::time_point> times;
    const Clock::time_point now = Clock::now();
    while (!waiting_.empty() && waiting_.front().event.query()) {
      Mark mark = std::move(waiting_.front());
      waiting_.pop_front();
      times.push_back(time_of(mark));
      latest_ = Timed{std::move(mark.event), times.back()};
    }
    if (!waiting_.empty()) waiting_.front().not_before = now;
    return times;
  }

 private:
  struct Mark {
    c10::Event event;
    Clock::time_point not_before;
  };
  struct Timed {
    c10::Event event;
    Clock::time_point time;
  };

  // From the mark before. What a device's clock drifts, and what roundings add up to, ends wherever the
  // device had nothing to do before a mark, or was waited for behind one.
  Clock::time_point time_of(const Mark& mark) const {
    if (!latest_) return mark.not_before;
    const Seconds since(1e-3 * latest_->event.elapsedTime(mark.event));
    return std::clamp(latest_->time + std::chrono::duration_cast<Clock::duration>(since), mark.not_before,
                      Clock::now());
  }

  const at::Device device_;
  const c10::impl::VirtualGuardImpl backend_;
  std::deque<Mark> waiting_;
  std::optional<Timed> latest_;
};

DeviceClock::DeviceClock(at::Device device) : marks_(std::make_unique<Marks>(device)) {}
DeviceClock::~DeviceClock() = default;

void DeviceClock::mark() {
  marks_->add();
}

std::vector<Clock::time_point> DeviceClock::passed() {
  return marks_->passed();
}

}  // namespace lamina
