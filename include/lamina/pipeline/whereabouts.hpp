#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lamina/pipeline/timeline.hpp"

namespace lamina {

/// What a worker is doing: an action of its schedule, or the part of one that its time goes into.
struct Whereabouts {
  std::int64_t step = 0;  ///< of the packet in hand
  Op op = Op::compute;
  Activity activity = Activity::idle;  ///< idle: before or behind the stream
  int stage = -1;
  int other = -1;  ///< of receive, join and send: the stage at the lane's other end
  int micro = 0;
  friend bool operator==(const Whereabouts&, const Whereabouts&) = default;
};

/// "at step 1234 in recv from stage 1"
std::string text(const Whereabouts& where);

/// True if nothing but another worker is what it waits for.
bool waits_for_peer(const Whereabouts& where);

/// As numbers, to travel, and back. @throws Error{contract} for numbers that are no whereabouts.
using WhereaboutsNumbers = std::array<std::int64_t, 6>;
WhereaboutsNumbers to_numbers(const Whereabouts& where);
Whereabouts whereabouts(const WhereaboutsNumbers& numbers);

/// One end of a lane.
struct LaneCount {
  std::int64_t carried = 0;  ///< messages received here, or sent
  std::int64_t open = 0;     ///< sends that the receiver may not have taken yet; of the receiving end 0
};

/// What one worker is doing, for whoever watches it. Kept always: an action costs some stores and no lock.
///
/// Threads  show() and show_lane() from one, the worker's; the others from any.
/// Blocking nobody waits: who reads while it is being written reads again.
class ActionBoard {
 public:
  explicit ActionBoard(std::size_t num_lanes) : lanes_(num_lanes) {}

  void show(const Whereabouts& where);
  void show_lane(std::size_t lane, const LaneCount& count);

  struct Seen {
    Whereabouts where;
    std::int64_t moves = 0;  ///< how often it was shown: stands still while the worker does
  };
  Seen read() const;

  std::size_t num_lanes() const { return lanes_.size(); }
  LaneCount lane(std::size_t lane) const;

 private:
  struct Lane {
    std::atomic<std::int64_t> carried = 0;
    std::atomic<std::int64_t> open = 0;
  };

  std::atomic<std::int64_t> version_ = 0;  // odd: being written
  std::array<std::atomic<std::int64_t>, std::tuple_size_v<WhereaboutsNumbers>> numbers_{};
  std::vector<Lane> lanes_;
};

}  // namespace lamina
