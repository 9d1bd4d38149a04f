#pragma once

#include <filesystem>
#include <memory>
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

/// `model.init`; nothing if it is not set.
std::shared_ptr<const GivenTensors> given_weights(const RunPlan& plan);

/// Finds where to begin, and writes nothing. Called by the first worker alone.
/// @throws Error{storage} if the run's directory exists and this is not a resume;
///         Error{checkpoint} for a checkpoint that is damaged or of another run.
RunStart find_start(const RunPlan& plan, const RunOptions& options);

/// Creates the run's directory, or clears what a killed run left half-written there. Called by the first
/// worker alone, once nothing else can be wrong. @throws Error{storage}
void prepare_directory(const RunPlan& plan);

/// The same beginning as another worker found it.
RunStart open_start(const std::filesystem::path& checkpoint);

}  // namespace lamina
