#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "lamina/train/checkpoint.hpp"
#include "lamina/train/engine.hpp"

namespace lamina {

/// Checkpoints of a run in `out`.
std::filesystem::path checkpoint_directory(const std::filesystem::path& out);

/// `model.init`; nothing if it is not set.
std::shared_ptr<const GivenTensors> given_weights(const RunPlan& plan);

/// The checkpoints that the run may begin with, the newest first, the mirror's behind its own; none: step 0.
/// Writes nothing. Called by the first worker alone. Whether they are whole is for those to see who load
/// them. Where the run has some of its own, a mirror that cannot be read costs a warning.
/// @throws Error{storage} if the run's directory, or its mirror, is in use and this is not a resume;
///         Error{checkpoint} if they are another run's.
std::vector<std::filesystem::path> find_starts(const RunPlan& plan, const RunOptions& options);

/// Creates the run's directory, or clears what a killed run left half-written there; sets the `damaged`
/// checkpoints aside. Called by the first worker alone, once nothing else can be wrong. @throws
/// Error{storage}
void prepare_directory(const RunPlan& plan, const std::vector<std::filesystem::path>& damaged);

}  // namespace lamina
