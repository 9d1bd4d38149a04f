#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "early_stop.hpp"
#include "lamina/comm/transport.hpp"
#include "lamina/train/engine.hpp"
#include "lamina/train/stream_plan.hpp"
#include "stop_conditions.hpp"

namespace lamina {

/// What asks worker 0 for something, beside its own signals.
struct WishSources {
  /// Under train.early_stop: waits for the verdict on the n-th evaluation since the run began; 0: on those
  /// before.
  std::function<Verdict(std::int64_t)> verdict{};
  /// Under train.on_nonfinite: rollback: the stream is of no worth any more, and is to end.
  std::function<bool()> is_abandoned{};
  /// Over MPI: a worker that a signal has asked to stop; -1: none.
  std::function<int()> asked_to_stop{};
  StopReason told_to_stop = StopReason::none;  ///< from the beginning
};

/// What the stream is asked for, at a worker that feeds it: by signals, by a budget of time, by a file, by
/// evaluations that get no better, by numbers that are not finite.
///
/// The verdict on an evaluation is heeded behind the next one. By then it has long been there, and the step
/// does not depend on when it came.
///
/// Replicas that feed act at the same packet, whichever of them was asked: they vote, by a sum that travels
/// while they compute, and act a packet later. Each has to ask equally often.
class Wishes {
 public:
  /// `sources`: worker 0's.
  Wishes(const RunPlan& plan, const RunOptions& options, Transport& transport, Seconds limit,
         WishSources sources);

  /// Asked before every packet, with whether that is an evaluation's last; under replicas collective.
  /// @throws Error{timeout, peer_lost} as sums do.
  Wish next(bool closes_evaluation);

  /// Waits for the last vote, which nobody counts.
  void finish();

  /// What has asked this worker to stop.
  StopReason stopped_by() const { return stopped_by_; }

 private:
  bool has_replicas() const { return plan_.groups.front().replicas > 1; }
  void begin();
  void heed_others();
  void heed_verdict();
  Wish own();
  std::unique_ptr<SumHandle> vote();

  const RunPlan& plan_;
  const RunOptions& options_;
  Transport& transport_;
  Seconds limit_;
  std::optional<StopConditions> conditions_;  // worker 0's, of a run that has a directory
  WishSources sources_;
  std::int64_t num_evaluations_ = 0;
  bool begun_ = false;
  StopReason stopped_by_ = StopReason::none;
  std::unique_ptr<SumHandle> votes_;
};

}  // namespace lamina
