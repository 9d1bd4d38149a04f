#include <fmt/format.h>

#include <filesystem>

#include "commands.hpp"
#include "lamina/core/error.hpp"
#include "lamina/train/checkpoint.hpp"
#include "lamina/train/engine.hpp"

namespace lamina {
namespace {

// A checkpoint itself, or the newest one of a run's directory.
std::filesystem::path find_checkpoint(const std::filesystem::path& directory) {
  if (std::filesystem::exists(directory / "manifest.json")) return directory;
  for (const auto& place : {directory, directory / "checkpoints"})
    if (const auto found = find_checkpoints(place); !found.empty()) return found.back();
  throw Error(
      ErrorKind::checkpoint,
      fmt::format("{}: expected a checkpoint or a run's directory with one, found none", directory.string()));
}

}  // namespace

void add_eval_command(CLI::App& app) {
  struct Arguments : ConfigArguments {
    std::string directory;
  };
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("eval", "evaluate a checkpoint on the test set");
  command->add_option("checkpoint", arguments->directory, "a checkpoint, or a run's directory")->required();
  arguments->add_sets_to(*command);
  command->callback([arguments] {
    const std::filesystem::path checkpoint = find_checkpoint(arguments->directory);
    const Manifest manifest = read_manifest(checkpoint);
    ConfigText text = ConfigText::from_text(manifest.config, (checkpoint / "manifest.json").string());
    text.set("pipeline.workers=1");
    text.set("pipeline.threads=auto");
    text.set("pipeline.transport=auto");
    text = arguments->over(std::move(text));
    const RunPlan plan = make_run_plan(read_run_config(text), mpi_launch());
    check_same_run(manifest, list_fields(plan.config));
    const auto summary = run(plan, {.mode = RunMode::eval, .checkpoint = checkpoint.string()});
    if (summary)
      fmt::print("{}: test accuracy {:.2f} %\n", checkpoint.string(), 100 * summary->test_accuracy);
  });
}

}  // namespace lamina
