#pragma once

#include <vector>

#include "lamina/comm/transport.hpp"

namespace lamina {

/// When a worker entered and left a gather, by its own clock, in seconds.
struct GatherTimes {
  double entered_s;
  double left_s;
};

/// How far a worker's clock is from the first one's: to add to it, and by how much that may be wrong at most.
struct ClockOffset {
  double offset_s = 0;
  double error_s = 0;
};

/// Nobody leaves a gather before everybody has entered it. So of every round a worker w learns that the first
/// worker's clock is ahead of its own by at least entered_0 - left_w and by at most left_0 - entered_w: what
/// a ping and its pong tell, whatever they travel on, and the tightest bounds of all rounds hold.
ClockOffset offset_to_first(const std::vector<GatherTimes>& first, const std::vector<GatherTimes>& mine);

/// This worker's offset. Collective.
ClockOffset align_clocks(Transport& transport, Seconds limit);

}  // namespace lamina
