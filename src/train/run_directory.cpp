#include "run_directory.hpp"

#include <fmt/format.h>

#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "lamina/core/log.hpp"
#include "lamina/train/safetensors.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;

RunStart newest(const RunPlan& plan) {
  const fs::path directory = checkpoint_directory(plan.config.out);
  const std::vector<fs::path> found = find_checkpoints(directory);
  if (found.empty()) {
    log_info(fmt::format("nothing to resume in {}: starting at step 0", directory.string()));
    return {};
  }
  return open_start(found.back());
}

}  // namespace

fs::path checkpoint_directory(const fs::path& out) {
  return out / "checkpoints";
}

RunStart open_start(const fs::path& checkpoint) {
  if (checkpoint.empty()) return {};
  return {checkpoint, read_manifest(checkpoint)};
}

std::shared_ptr<const GivenTensors> given_weights(const RunPlan& plan) {
  const std::string& path = plan.config.model.init;
  if (path.empty()) return nullptr;
  return std::make_shared<const GivenTensors>(read_safetensors(path));
}

RunStart find_start(const RunPlan& plan, const RunOptions& options) {
  const fs::path out = plan.config.out;
  switch (options.mode) {
    case RunMode::bench:
      return {};
    case RunMode::eval:
      return open_start(options.checkpoint);
    case RunMode::train:
      if (!fs::exists(out)) return {};
      throw Error(ErrorKind::storage,
                  fmt::format("{}: expected a new directory, found an existing one; go on with "
                              "--resume or choose another with --out",
                              out.string()));
    case RunMode::resume:
      break;
  }
  RunStart start = newest(plan);
  if (start.manifest) check_same_run(*start.manifest, list_fields(plan.config));
  return start;
}

void prepare_directory(const RunPlan& plan) {
  const fs::path out = plan.config.out;
  make_directory(checkpoint_directory(out));
  remove_partial_checkpoints(checkpoint_directory(out));
  write_file_atomically(out / "config.yaml", to_yaml(list_fields(plan.config)));
}

}  // namespace lamina
