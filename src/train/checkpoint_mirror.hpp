#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <thread>

#include "lamina/core/clock.hpp"
#include "lamina/train/run_plan.hpp"

namespace lamina {

/// How long whoever waits for a mirror does.
struct MirrorPatience {
  Seconds standstill = std::chrono::minutes(10);  ///< while nothing moves
  Seconds in_all = std::chrono::hours(12);
};

/// Copies complete checkpoints to a second directory (checkpoint.mirror), beside everything else.
///
/// A copy is made aside and renamed, as a checkpoint is. Of several that wait the newest is copied alone. A
/// copy that fails is logged and counted, and harms nothing. One that hangs, as on a server that is gone, or
/// takes too long is given up once somebody waits for it.
///
/// Threads  any; a thread of its own copies, which a copy that was given up keeps.
class CheckpointMirror {
 public:
  /// `keep`: newest ones kept there.
  CheckpointMirror(std::filesystem::path directory, std::int64_t keep, MirrorPatience patience = {});
  /// As finish().
  ~CheckpointMirror();
  CheckpointMirror(const CheckpointMirror&) = delete;
  CheckpointMirror& operator=(const CheckpointMirror&) = delete;

  /// Never waits.
  void copy(const std::filesystem::path& checkpoint);
  /// Waits until nothing is left to be copied, or the copy is given up, and all later ones with it.
  void finish();
  std::int64_t num_failures() const;

 private:
  class Copier;

  const MirrorPatience patience_;
  std::shared_ptr<Copier> copier_;  // the thread's, too
  std::thread thread_;
};

/// checkpoint.mirror, or none. At the end of a run of several processes it is waited for half the time for
/// which the others wait, to leave MPI together.
std::shared_ptr<CheckpointMirror> open_mirror(const RunPlan& plan);

}  // namespace lamina
