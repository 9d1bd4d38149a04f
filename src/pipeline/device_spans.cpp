#include "pipeline/device_spans.hpp"

namespace lamina {

DeviceSpans::DeviceSpans(at::Device device) {
  if (!device.is_cpu()) clock_.emplace(device);
}

void DeviceSpans::begin() {
  if (clock_) clock_->mark();
}

void DeviceSpans::end(const Span& action) {
  if (!clock_) return;
  clock_->mark();
  given_.push_back(action);
  given_.back().on_device = true;
}

void DeviceSpans::add_to(Timeline& timeline) {
  if (!clock_) return;
  for (const Clock::time_point time : clock_->passed()) passed_.push_back(time);
  while (passed_.size() >= 2) {
    Span span = given_.front();
    span.start = passed_[0];
    span.end = passed_[1];
    timeline.add(span);
    given_.pop_front();
    passed_.erase(passed_.begin(), passed_.begin() + 2);
  }
}

}  // namespace lamina
