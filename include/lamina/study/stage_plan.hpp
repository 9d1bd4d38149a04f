#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace lamina {

/// What a stage of the pieces first to last costs the worker that owns it.
struct StageCost {
  double seconds = 0;         ///< a step of the whole batch, on a worker of speed 1
  double bytes = 0;           ///< of memory
  double message_bytes = 0;   ///< of what it sends on; the last stage's is not counted
  double gradient_bytes = 0;  ///< what its replicas add up
  double forward_share = 0;   ///< of the seconds, where the schedule has a backward by itself; 0: unknown
};

/// Pieces that are cut into stages, and the workers that they are for.
struct StageProblem {
  int num_pieces = 0;
  std::function<StageCost(int first, int last)> cost{};
  std::vector<double> speeds{1};                                ///< by worker, in the pipeline's order
  double most_bytes = std::numeric_limits<double>::infinity();  ///< that a worker has
  double bytes_per_s = 0;                                       ///< of a link; 0: no limit
  std::int64_t batch = 0;       ///< samples of a step, whole ones of which a replica gets; 0: any part of it
  std::vector<int> replicas{};  ///< of each stage, if they are given: all workers are shared out by them
  int most_replicas = 1;        ///< else workers that may share a stage, side by side
};

/// One stage of a plan.
struct PlannedStage {
  int first = 0;
  int last = 0;
  int first_worker = 0;
  int replicas = 1;
  double seconds = 0;  ///< a step, with the sum over its replicas
  double send_s = 0;   ///< its link is busy so long a step
  double bytes = 0;
  double forward_share = 0;  ///< of the time that it computes; 0: unknown
};

struct StagePlan {
  std::vector<PlannedStage> stages{};
  double step_s = 0;  ///< of the slowest stage or link
  int slowest = 0;    ///< the stage
  bool by_link = false;
  std::vector<std::int64_t> ends() const;  ///< the last piece of every stage but the last
};

/// The part of a batch that the replica with the most samples gets; with a batch of 0 as if it had no end.
double largest_share(std::int64_t batch, int replicas);

/// The cut whose slowest stage or link is as fast as can be, by dynamic programming over workers and pieces;
/// among those, one with the smallest sum of squares. Every worker gets work.
/// A replica computes its part of the batch in that part of the time; of several speeds, or parts, the
/// slowest counts. @throws Error{config} for fewer pieces than stages there have to be, or if no cut keeps
/// within `most_bytes`: says the least that would do.
StagePlan plan_stages(const StageProblem& problem);

/// That cut with one more worker, of speed 1, for its slowest stage, which has less than `batch` replicas.
StagePlan with_a_replica(const StageProblem& problem, StagePlan plan);

}  // namespace lamina
