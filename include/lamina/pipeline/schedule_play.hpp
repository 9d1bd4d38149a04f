#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "lamina/pipeline/schedule.hpp"
#include "lamina/pipeline/snapshot_policy.hpp"

namespace lamina {

/// What carries messages and sums, as far as it decides who waits for whom.
enum class Carrier {
  separate_lanes,   ///< in-process and MPI: lanes and sums do not hold each other up
  nccl,             ///< one queue a worker, filled as src/README.md says: "What NCCL is given, and when"
  nccl_prefetching  ///< the same, but a receive enters the queue as soon as it is posted ahead: to show why
                    ///< not
};

/// What a thing takes on its way: it arrives `occupied_s + latency_s` after it began, and the next on the
/// same way may begin after `occupied_s`.
struct LinkTime {
  double occupied_s = 0;
  double latency_s = 0;
};

/// Which snapshots travel, and what they cost. Empty vectors: none, or no time.
struct SnapshotTraffic {
  SnapshotPolicy policy{};
  std::vector<std::vector<int>> reads{};                  ///< by stage: the stages whose parts it shadows
  std::vector<double> fill_s{};                           ///< by stage: to fill its shadows
  std::vector<double> publish_s{};                        ///< by stage: to copy its parts
  std::function<LinkTime(int owner, int reader)> link{};  ///< between two stages on different workers
};

/// Whether a stage may wait for what later ones make of the packet before.
bool feeds_back(const SnapshotTraffic& snapshots);

/// How a schedule is played. What is not set takes no time.
struct PlayOptions {
  std::int64_t packets = 1;
  int buffers = 2;  ///< a lane's, as LaneSpec's
  Carrier carrier = Carrier::separate_lanes;
  SnapshotTraffic snapshots{};
  std::function<double(int worker, const Action&, std::int64_t packet)> seconds{};
  std::function<LinkTime(int lane)> link{};
  std::function<double(int stage)> sum_s{};           ///< over a stage's replicas, behind its last gradient
  std::function<bool(std::int64_t packet)> trains{};  ///< unset: all do; others take Schedule::passes
};

/// One action as it was played, in seconds since the start.
struct Played {
  int worker = 0;
  Action action{};
  std::int64_t packet = 0;
  double came_s = 0;   ///< the worker was done with what is before it
  double began_s = 0;  ///< its own work
  double ended_s = 0;
  double waited_s = 0;    ///< for a message to come, or for a lane's room
  double snapshot_s = 0;  ///< waiting for versions, filling and publishing
  double busy_s = 0;      ///< its own work
  double replicas_s = 0;  ///< waiting for the sum
};
using PlayObserver = std::function<void(const Played&)>;

/// Plays a schedule: every worker does its rounds' actions in their order, each as soon as what it needs is
/// there: a message, room in a lane (Transport: at most buffers-1 sends outstanding, one receive posted ahead
/// as Worker does), the sum over a stage's replicas, the versions of the parts that a stage shadows.
/// Which action waits for which is fixed, so times follow by going through them once; nothing is random here.
///
/// Order    `observe` sees a worker's actions in their order; those of different workers in any.
/// Memory   of what is on its way, whatever the number of packets.
/// @throws Error{contract} if the ends of a lane do not match, or the workers would wait for one another
/// forever: says who waits for what.
void play(const Schedule& schedule, const PlayOptions& options, const PlayObserver& observe);

/// Plays as many packets as it takes for every wait to show, those that do not train among them.
/// @throws Error{contract} as play() does.
void require_no_deadlock(const Schedule& schedule, PlayOptions options);

/// By stage, the workers that compute it, in rising order.
std::vector<std::vector<int>> workers_by_stage(const Schedule& schedule);

}  // namespace lamina
