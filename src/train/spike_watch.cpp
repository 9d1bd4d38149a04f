#include "spike_watch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace lamina {
namespace {

// Of an even number the upper one of the two in the middle.
double median(std::vector<double> numbers) {
  const auto middle = numbers.begin() + static_cast<std::ptrdiff_t>(numbers.size() / 2);
  std::nth_element(numbers.begin(), middle, numbers.end());
  return *middle;
}

}  // namespace

std::vector<std::string> SpikeWatch::see(const Packet& packet) {
  std::vector<std::string> lines;
  std::size_t next = 0;
  for (std::size_t module = 0; module < packet.modules.size(); ++module)
    for (const LossReport& report : packet.modules[module].losses) {
      if (next == branches_.size()) branches_.emplace_back();
      Branch& branch = branches_[next++];
      if (!std::isfinite(report.loss)) continue;
      const double usual = branch.losses.size() < least ? INFINITY : median(branch.losses);
      const bool was_spiking = branch.spikes;
      branch.spikes = report.loss > factor_ * usual;
      if (branch.spikes && !was_spiking)
        lines.push_back(fmt::format(
            "step {}: the {} loss of module {} is {:.4g}, above {:g} times {:.4g}, the median of the {} "
            "before",
            packet.step, report.branch, module, report.loss, factor_, usual, branch.losses.size()));
      if (branch.losses.size() < most) {
        branch.losses.push_back(report.loss);
      } else {
        branch.losses[branch.oldest] = report.loss;
        branch.oldest = (branch.oldest + 1) % most;
      }
    }
  return lines;
}

}  // namespace lamina
