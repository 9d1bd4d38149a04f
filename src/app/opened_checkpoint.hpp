#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lamina/train/checkpoint.hpp"
#include "lamina/train/run_plan.hpp"

namespace lamina {

/// A checkpoint with the plan of the run that wrote it, for one worker.
struct OpenedCheckpoint {
  std::filesystem::path path;
  Manifest manifest;
  RunPlan plan;
};

/// Where a run's checkpoints lie: `directory` itself, or its folder of them. Nothing if it holds none.
std::optional<std::filesystem::path> checkpoint_folder(const std::filesystem::path& directory);

/// `directory`: a checkpoint, or a run's directory, of which the newest is taken. `sets`: "key=value"
/// overrides of what does not change the network. @throws Error{checkpoint}, Error{config}
OpenedCheckpoint open_checkpoint(const std::filesystem::path& directory,
                                 const std::vector<std::string>& sets = {});

}  // namespace lamina
