#pragma once

#include <string>
#include <vector>

#include "lamina/pipeline/share.hpp"

namespace lamina {

/// What a worker does with a packet, or with a micro-batch of it.
enum class Op {
  feed,      ///< take the next packet from the source
  receive,   ///< take the next packet of a lane; of a gradient lane, the gradient at the stage's output
  join,      ///< put the next packet of a lane behind the one in hand, a piece of the same batch
  compute,   ///< run a stage: a whole step of local learning, an evaluation, or a mark
  forward,   ///< run a stage on a micro-batch and keep its graph
  backward,  ///< pull a micro-batch's gradient back through a stage, and add up that of its parameters
  update,    ///< the optimizer's step of a stage, with the gradients of all micro-batches
  send,      ///< hand the packet, or the receiver's piece of it, to a lane; to a gradient lane, what backward
             ///< left
  finish,    ///< hand the packet to the sink
};

/// "feed", "receive", ...
const char* name_of(Op op);

struct Action {
  Op op;
  int stage;           ///< that computes, or whose input or output it is
  int lane = -1;       ///< of receive, join and send
  int micro = 0;       ///< which micro-batch of the step
  int steps_back = 0;  ///< 1: of the step before this round's, whose end this round still has to do
  friend bool operator==(const Action&, const Action&) = default;
};

/// As messages name it, e.g. "receive of stage 2".
std::string text(const Action& action);

/// From which worker to which a lane leads, and whose output travels on it.
struct ScheduleLane {
  int from;
  int to;
  int stage;
  Replica sender{};
  Replica receiver{};
  bool with_reports = true;  ///< of the lanes that a packet's pieces take, one takes its reports
  bool gradient = false;     ///< carries gradients at `stage`'s output back to its owner, `to`
};

/// Workers that own the same stages: replicas, which split every batch by its samples.
struct WorkerGroup {
  int first_worker = 0;
  int replicas = 1;
  int first_stage = 0;
  int end_stage = 1;     ///< one behind the last
  int stage_stride = 1;  ///< from each of its stages to the next

  std::vector<int> workers() const;
  std::vector<int> stages() const;
  bool holds(int worker) const { return worker >= first_worker && worker < first_worker + replicas; }
  bool owns(int stage) const {
    return stage >= first_stage && stage < end_stage && (stage - first_stage) % stage_stride == 0;
  }
  friend bool operator==(const WorkerGroup&, const WorkerGroup&) = default;
};

/// The groups of workers that share stages: group g owns [first_stage[g], first_stage[g+1]), and is one
/// worker unless `replicas`, by group, says how many.
std::vector<WorkerGroup> make_groups(const std::vector<int>& first_stage,
                                     const std::vector<std::int64_t>& replicas = {});

/// What every worker does, as data: its actions for one packet, repeated until the stream ends.
struct Schedule {
  std::string name;
  int num_stages = 0;
  std::vector<std::vector<Action>> rounds;  ///< by worker
  std::vector<ScheduleLane> lanes;
  int micro_batches = 1;  ///< that a training packet is cut into
  /// By worker, for packets that do not train, where they are not dealt with like those that do. Begins with
  /// the same action as the worker's round.
  std::vector<std::vector<Action>> passes{};
};

/// Local learning: every packet goes through the stages once and nothing comes back. The first group's
/// replicas feed a share each; the last group's first one finishes the packets whole.
Schedule streaming_schedule(const std::vector<WorkerGroup>& groups);

/// When each worker does what, if every stage takes one slot and everything else none.
struct Grid {
  /// By worker and slot: "s1:3" is stage 1 on packet 3, "f1:3.0" and "b1:3.0" its forward and backward on
  /// micro-batch 0; "" idles.
  std::vector<std::vector<std::string>> cells;
};

/// Plays `packets` rounds with `buffers` messages a lane.
/// @throws Error{contract} if a send has no receive, or the workers would wait for one another forever; says
/// who waits for what.
Grid play(const Schedule& schedule, int packets, int buffers);

/// The grid as text, a line a worker.
std::string text(const Grid& grid);

}  // namespace lamina
