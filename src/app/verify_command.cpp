#include <fmt/format.h>

#include <filesystem>

#include "commands.hpp"
#include "lamina/core/error.hpp"
#include "opened_checkpoint.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;

// Loads all of it, as a resumed run's workers do together. @throws Error for the first thing that is not as
// it was written.
Manifest verify(const fs::path& checkpoint) {
  const OpenedCheckpoint opened = open_checkpoint(checkpoint, {"pipeline.device=cpu"});
  const std::size_t expected = opened.plan.modules.size();
  if (opened.manifest.modules.size() != expected)
    throw Error(ErrorKind::checkpoint, fmt::format("{}: expected {} modules, found {}", checkpoint.string(),
                                                   expected, opened.manifest.modules.size()));
  for (Stage& stage : make_stages(opened.plan, 0)) load_stage(opened.path, opened.manifest, stage);
  return opened.manifest;
}

void print_whole(const fs::path& checkpoint, const Manifest& manifest) {
  std::int64_t num_bytes = 0;
  for (const ModuleFile& file : manifest.modules) num_bytes += file.num_bytes;
  fmt::print("{}: whole: step {}, {} modules, {:.1f} MiB\n", checkpoint.string(), manifest.step,
             manifest.modules.size(), static_cast<double>(num_bytes) / mib);
}

void verify_run(const fs::path& folder) {
  const std::vector<fs::path> all = find_checkpoints(folder);
  fs::path newest;
  std::size_t num_bad = 0;
  for (const fs::path& checkpoint : all) {
    try {
      print_whole(checkpoint, verify(checkpoint));
      newest = checkpoint;
    } catch (const Error& e) {
      fmt::print("{}: bad: {}\n", checkpoint.string(), e.what());
      ++num_bad;
    }
  }
  for (const fs::path& partial : find_partial_checkpoints(folder))
    fmt::print("{}: not finished: --resume deletes it\n", partial.string());
  const std::string verdict =
      newest.empty() ? "none is whole" : fmt::format("the newest whole one is {}", newest.string());
  if (num_bad > 0)
    throw Error(ErrorKind::checkpoint, fmt::format("{}: expected whole checkpoints, found {} bad of {}; {}",
                                                   folder.string(), num_bad, all.size(), verdict));
  fmt::print("{}\n", verdict);
}

}  // namespace

void add_verify_command(CLI::App& app) {
  const auto directory = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(
      "verify", "check checkpoints: manifest, digests, every tensor's name, type and shape");
  command->add_option("directory", *directory, "a checkpoint, or a run's directory: all of its")->required();
  command->callback([directory] {
    if (const auto folder = checkpoint_folder(*directory)) return verify_run(*folder);
    print_whole(*directory, verify(*directory));
  });
}

}  // namespace lamina
