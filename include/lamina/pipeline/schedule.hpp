#pragma once

#include <string>
#include <vector>

namespace lamina {

/// What a worker does with a packet.
enum class Op {
  feed,     ///< take the next packet from the source
  receive,  ///< take the next packet of a lane
  compute,  ///< run a stage
  send,     ///< hand the packet to a lane
  finish,   ///< hand the packet to the sink
};

struct Action {
  Op op;
  int stage;      ///< that computes, or whose input or output it is
  int lane = -1;  ///< of receive and send
  friend bool operator==(const Action&, const Action&) = default;
};

/// From which worker to which a lane leads, and whose output travels on it.
struct ScheduleLane {
  int from;
  int to;
  int stage;
};

/// What every worker does, as data: its actions for one packet, repeated until the stream ends.
struct Schedule {
  std::string name;
  int num_stages = 0;
  std::vector<std::vector<Action>> rounds;  ///< by worker
  std::vector<ScheduleLane> lanes;
};

/// Local learning: every packet goes through the stages once and nothing comes back. Worker w owns the stages
/// [first_stage[w], first_stage[w+1]).
Schedule streaming_schedule(const std::vector<int>& first_stage);

/// When each worker does what, if every stage takes one slot and everything else none.
struct Grid {
  std::vector<std::vector<std::string>>
      cells;  ///< by worker and slot: "s1:3" is stage 1 on packet 3; "" idles
};

/// Plays `packets` rounds with `buffers` messages a lane.
/// @throws Error{contract} if a send has no receive, or the workers would wait for one another forever; says
/// who waits for what.
Grid play(const Schedule& schedule, int packets, int buffers);

/// The grid as text, a line a worker.
std::string text(const Grid& grid);

}  // namespace lamina
