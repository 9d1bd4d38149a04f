#include "run_directory.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "lamina/core/log.hpp"
#include "lamina/core/within.hpp"
#include "lamina/train/safetensors.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;

// The mirror's checkpoints, as `find` has them. A file server that is gone hangs whoever asks it; the other
// workers wait meanwhile.
template <class Find>
std::vector<fs::path> find_copies(const RunPlan& plan, Find find) {
  const fs::path mirror = plan.config.checkpoint.mirror;
  if (mirror.empty()) return {};
  const Seconds patience = std::min(Seconds(plan.config.pipeline.timeout_s / 4), Seconds(60));
  if (auto found = within(patience, [mirror, find] { return find(mirror); })) return *std::move(found);
  throw Error(ErrorKind::storage, fmt::format("{}: expected to read it, found no answer in {:.0f} s",
                                              mirror.string(), patience.count()));
}

std::vector<fs::path> all_starts(const RunPlan& plan) {
  std::vector<fs::path> all = find_checkpoints(checkpoint_directory(plan.config.out));
  try {
    const auto own = [out = fs::path(plan.config.out)](const fs::path& mirror) {
      return find_own_checkpoints(mirror, out);
    };
    for (fs::path& copy : find_copies(plan, own)) all.push_back(std::move(copy));
  } catch (const std::exception& problem) {
    if (all.empty()) throw;
    log_warning(fmt::format("checkpoint.mirror: {}: going on without it", as_error(problem).what()));
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const fs::path& a, const fs::path& b) { return step_of(a) > step_of(b); });
  return all;
}

// The newest that can be read speaks for all.
void check_whose(const std::vector<fs::path>& starts, const RunPlan& plan) {
  for (const fs::path& start : starts) {
    Manifest manifest;
    try {
      manifest = read_manifest(start);
    } catch (const Error&) {
      continue;  // whoever loads it will say so
    }
    return check_same_run(manifest, list_fields(plan.config));
  }
}

void check_new(const RunPlan& plan) {
  const fs::path out = plan.config.out;
  if (fs::exists(out))
    throw Error(ErrorKind::storage,
                fmt::format("{}: expected a new directory, found an existing one; go on with "
                            "--resume or choose another with --out",
                            out.string()));
  const fs::path mirror = plan.config.checkpoint.mirror;
  if (!find_copies(plan, find_checkpoints).empty())
    throw Error(
        ErrorKind::storage,
        fmt::format("checkpoint.mirror: expected a directory without checkpoints, found some in {}; go "
                    "on with --resume or choose another",
                    mirror.string()));
}

}  // namespace

fs::path checkpoint_directory(const fs::path& out) {
  return out / "checkpoints";
}

std::shared_ptr<const GivenTensors> given_weights(const RunPlan& plan) {
  const std::string& path = plan.config.model.init;
  if (path.empty()) return nullptr;
  return std::make_shared<const GivenTensors>(read_safetensors(path));
}

std::vector<fs::path> find_starts(const RunPlan& plan, const RunOptions& options) {
  switch (options.mode) {
    case RunMode::bench:
      return {};
    case RunMode::eval:
      return {options.checkpoint};
    case RunMode::train:
      check_new(plan);
      return {};
    case RunMode::resume:
      break;
  }
  std::vector<fs::path> starts = all_starts(plan);
  if (starts.empty())
    log_info(fmt::format("nothing to resume in {}: starting at step 0",
                         checkpoint_directory(plan.config.out).string()));
  check_whose(starts, plan);
  return starts;
}

void prepare_directory(const RunPlan& plan, const std::vector<fs::path>& damaged) {
  const fs::path out = plan.config.out;
  make_directory(checkpoint_directory(out));
  remove_partial_checkpoints(checkpoint_directory(out));
  for (const fs::path& checkpoint : damaged) {
    try {
      set_aside(checkpoint);
    } catch (const Error& error) {
      if (checkpoint.parent_path() == checkpoint_directory(out)) throw;
      log_warning(fmt::format("checkpoint.mirror: {}", error.what()));
    }
  }
  write_file_atomically(out / "config.yaml", to_yaml(list_fields(plan.config)));
}

}  // namespace lamina
