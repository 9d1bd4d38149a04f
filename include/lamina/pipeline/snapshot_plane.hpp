#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "lamina/comm/host_copies.hpp"
#include "lamina/pipeline/snapshot_board.hpp"
#include "lamina/pipeline/snapshot_policy.hpp"
#include "lamina/pipeline/stage.hpp"

namespace lamina {

/// A worker's side of the snapshot plane: fills its stages' shadows before a step and publishes their parts
/// behind it, as the policy says.
///
/// Threads  the worker's. The board is shared with the other workers of the process, and with the exchange.
/// Device   a version is of the moment of the call that publishes it, and is on the board once its copy has
/// come
///          to the host: at once from a CPU, a little later from a GPU, which goes on computing.
class SnapshotPlane {
 public:
  using SnapshotPtr = std::shared_ptr<const Snapshot>;
  /// Takes what is published to the readers in other processes; never waits. Called by the thread that
  /// HostCopies calls.
  using Deliver = std::function<void(const SnapshotPtr&)>;

  /// Of a stage's replicas one `publishes`.
  SnapshotPlane(const SnapshotPolicy& policy, std::shared_ptr<SnapshotBoard> board, Deliver deliver,
                Seconds limit, bool publishes = true,
                std::unique_ptr<HostCopies> copies = make_host_copies(at::kCPU))
      : policy_(policy),
        board_(std::move(board)),
        deliver_(std::move(deliver)),
        limit_(limit),
        publishes_(publishes),
        copies_(std::move(copies)) {}

  /// Publishes what readers need at the first step: the `saved` versions of a resumed run, and the state as
  /// it is unless it is among them.
  void publish_first(const Stage& stage, std::int64_t step, const std::vector<Snapshot>& saved);

  /// Waits for a first version of every part that the stage shadows. @throws Error{timeout}
  void await_first(const Stage& stage, std::int64_t step) const;

  /// Fills the stage's shadows for a step. Waits only under a lag, and only for versions that are late.
  StageReport refresh(Stage& stage, std::int64_t step) const;

  /// Publishes the stage's parts as they are at the beginning of `version`, if that is one to publish.
  void publish(const Stage& stage, std::int64_t version);

  /// Waits until everything that was to be published is.
  void finish() { copies_->finish(); }

  /// Versions of the stage's parts that a run resumed at `step` needs.
  std::vector<SnapshotPtr> to_save(const Stage& stage, std::int64_t step) const;

 private:
  void copy_and_publish(const Stage& stage, const std::vector<std::string>& parts, std::int64_t version);
  void publish_part(const SnapshotPtr& snapshot);
  std::int64_t first_version(std::int64_t step) const {
    return policy_.newest_wins ? step : policy_.version_for(step);
  }

  SnapshotPolicy policy_;
  std::shared_ptr<SnapshotBoard> board_;
  Deliver deliver_;
  Seconds limit_;
  bool publishes_;
  std::unique_ptr<HostCopies> copies_;  // goes first: its thread publishes
};

}  // namespace lamina
