#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "lamina/comm/transport.hpp"
#include "lamina/train/checkpoint.hpp"

namespace lamina {

/// Where a run begins: a checkpoint, or nothing for step 0.
struct RunStart {
  std::filesystem::path checkpoint{};
  std::optional<Manifest> manifest{};

  std::int64_t step() const { return manifest ? manifest->step : 0; }
  bool evaluated() const { return manifest ? manifest->evaluated : true; }
  std::int64_t rollbacks() const { return manifest ? manifest->rollbacks : 0; }
};

/// A start that a worker has loaded into its stages.
struct LoadedStart {
  RunStart start{};
  std::vector<std::vector<Snapshot>> versions{};  ///< by own stage: of its published parts
  std::vector<std::filesystem::path> damaged{};   ///< newer checkpoints that are not whole
};

/// Collective: loads the first of the checkpoints that is whole for all workers, each of which reads what its
/// own stages hold; of those before it worker 0 says what is wrong with them. Without any, step 0.
/// `starts`: everybody's the same, the newest first.
/// One that a later build wrote, or that cannot be read, ends the run: that says nothing of what it holds,
/// and an older one would throw work away.
/// @throws Error{checkpoint} if none is whole, or for a later build's; Error{storage} for what cannot be
/// read:
///         at the first worker that finds it so; Error{peer_lost} at the others.
LoadedStart load_newest_whole(const std::vector<std::filesystem::path>& starts, std::vector<Stage>& stages,
                              Transport& transport, Seconds limit);

}  // namespace lamina
