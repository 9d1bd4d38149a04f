#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lamina/pipeline/packet.hpp"

namespace lamina {

/// Watches the losses of a run for spikes.
///
/// A loss is a spike if it is above `factor` times the median of the last 64 of its branch, of which there
/// have to be at least 16. Losses that are not finite, as of a skipped step, are no spikes and count nowhere.
class SpikeWatch {
 public:
  static constexpr std::size_t most = 64;
  static constexpr std::size_t least = 16;

  explicit SpikeWatch(double factor) : factor_(factor) {}

  /// The losses of the next training step. @return a line for every branch whose loss is a spike and was none
  /// the step before.
  std::vector<std::string> see(const Packet& packet);

 private:
  struct Branch {
    std::vector<double> losses{};  // the last, in a ring
    std::size_t oldest = 0;
    bool spikes = false;
  };

  double factor_;
  std::vector<Branch> branches_;
};

}  // namespace lamina
