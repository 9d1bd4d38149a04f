#include "opened_checkpoint.hpp"

#include <fmt/format.h>

#include "lamina/comm/mpi.hpp"
#include "lamina/core/error.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;

// A checkpoint itself, or the newest one of a run's directory.
fs::path find_checkpoint(const fs::path& directory) {
  if (fs::exists(directory / "manifest.json")) return directory;
  if (const auto folder = checkpoint_folder(directory)) return find_checkpoints(*folder).back();
  throw Error(
      ErrorKind::checkpoint,
      fmt::format("{}: expected a checkpoint or a run's directory with one, found none", directory.string()));
}

}  // namespace

std::optional<fs::path> checkpoint_folder(const fs::path& directory) {
  for (const auto& place : {directory, directory / "checkpoints"})
    if (!find_checkpoints(place).empty()) return place;
  return std::nullopt;
}

OpenedCheckpoint open_checkpoint(const fs::path& directory, const std::vector<std::string>& sets) {
  const fs::path path = find_checkpoint(directory);
  Manifest manifest = read_manifest(path);
  ConfigText text = ConfigText::from_text(manifest.config, (path / "manifest.json").string());
  text.set("pipeline.workers=1");
  text.set("pipeline.replicas=1");
  text.set("pipeline.threads=auto");
  text.set("pipeline.transport=auto");
  for (const std::string& assignment : sets) text.set(assignment);
  RunPlan plan = make_run_plan(read_run_config(text), mpi_launch());
  check_same_run(manifest, list_fields(plan.config));
  return {path, std::move(manifest), std::move(plan)};
}

}  // namespace lamina
