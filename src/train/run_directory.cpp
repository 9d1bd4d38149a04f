#include "run_directory.hpp"

#include <fmt/format.h>

#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "lamina/core/log.hpp"

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

fs::path checkpoint_directory(const fs::path& out) { return out / "checkpoints"; }

RunStart open_start(const fs::path& checkpoint) {
  if (checkpoint.empty()) return {};
  return {checkpoint, read_manifest(checkpoint)};
}

RunStart prepare_run(const RunPlan& plan, const RunOptions& options) {
  if (options.mode == RunMode::eval) return open_start(options.checkpoint);
  if (options.mode == RunMode::bench) return {};
  const fs::path out = plan.config.out;
  if (options.mode == RunMode::train && fs::exists(out))
    throw Error(ErrorKind::storage, fmt::format("{}: expected a new directory, found an existing one; go on with "
                                                "--resume or choose another with --out",
                                                out.string()));
  RunStart start;
  if (options.mode == RunMode::resume) {
    start = newest(plan);
    if (start.manifest) check_same_run(*start.manifest, list_fields(plan.config));
    remove_partial_checkpoints(checkpoint_directory(out));
  }
  make_directory(checkpoint_directory(out));
  write_file_atomically(out / "config.yaml", to_yaml(list_fields(plan.config)));
  return start;
}

}  // namespace lamina
