#include "lamina/pipeline/timeline.hpp"

#include <algorithm>
#include <numeric>

#include "lamina/core/error.hpp"

namespace lamina {

double Account::accounted_s() const {
  return std::accumulate(seconds.begin(), seconds.end(), 0.0);
}

Timeline::Timeline(std::size_t capacity) : ring_(capacity) {
  if (capacity == 0) throw Error(ErrorKind::contract, "a timeline holds at least one span, found room for 0");
}

void Timeline::add(const Span& span) {
  if (!span.on_device) account_[span.activity] += Seconds(span.end - span.start).count();
  ring_[static_cast<std::size_t>(num_added_++) % ring_.size()] = span;
}

std::vector<Span> Timeline::spans() const {
  if (num_overwritten() == 0) return {ring_.begin(), ring_.begin() + num_added_};
  std::vector<Span> all = ring_;
  std::rotate(all.begin(), all.begin() + num_added_ % std::ssize(ring_), all.end());
  return all;
}

std::int64_t Timeline::num_overwritten() const {
  return std::max<std::int64_t>(0, num_added_ - std::ssize(ring_));
}

}  // namespace lamina
