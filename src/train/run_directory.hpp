#pragma once

#include <filesystem>
#include <optional>

#include "lamina/train/checkpoint.hpp"
#include "lamina/train/engine.hpp"

namespace lamina {

/// Where a run begins: a checkpoint, or nothing for step 0.
struct RunStart {
  std::filesystem::path checkpoint{};
  std::optional<Manifest> manifest{};

  std::int64_t step() const { return manifest ? manifest->step : 0; }
  bool evaluated() const { return manifest ? manifest->evaluated : true; }
};

/// Checkpoints of a run in `out`.
std::filesystem::path checkpoint_directory(const std::filesystem::path& out);

/// Creates the run's directory, or takes it up again, and finds where to begin. Called by the first worker alone.
/// @throws Error{storage} if it exists and this is not a resume, or cannot be written;
///         Error{checkpoint} for a checkpoint that is damaged or of another run.
RunStart prepare_run(const RunPlan& plan, const RunOptions& options);

/// The same beginning as another worker found it.
RunStart open_start(const std::filesystem::path& checkpoint);

}  // namespace lamina
