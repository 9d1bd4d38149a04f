#include <fmt/format.h>

#include <filesystem>

#include "commands.hpp"
#include "lamina/core/error.hpp"
#include "lamina/study/study_run.hpp"
#include "lamina/train/stop_request.hpp"
#include "version.hpp"

namespace lamina {
namespace {

constexpr int no_such_program = 127;

// With the code of the first failure; one that no kind of error has is the system's.
[[noreturn]] void fail(const StudyOutcome& outcome, std::size_t num_cells) {
  const CellFailure& first = outcome.failures.front();
  const std::string message = fmt::format("{} of {} cells could not run; the first, {}: {}",
                                          outcome.failures.size(), num_cells, first.cell, first.error);
  if (first.exit_code < 0) throw Error(ErrorKind::peer_lost, message);
  if (first.exit_code == no_such_program) throw Error(ErrorKind::config, message);
  if (first.exit_code >= static_cast<int>(ErrorKind::config) &&
      first.exit_code <= static_cast<int>(ErrorKind::nonfinite))
    throw Error(static_cast<ErrorKind>(first.exit_code), message);
  throw std::runtime_error(message);
}

}  // namespace

void add_study_command(CLI::App& app) {
  struct Arguments : ConfigArguments {
    std::string study;
    StudyOptions options;
  };
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand(
      "study", "runs every combination of a study's axes, a process each, and gathers what they measured");
  command->add_option("study", arguments->study, "study, YAML (docs/studies.md)")->required();
  arguments->add_sets_to(*command);
  command->add_option("--out", arguments->options.out, "the study's folder, where it goes on; runs/NAME")
      ->check(usable_path);
  command
      ->add_option("--only", arguments->options.only,
                   "cells that have this in their names; several: any of them")
      ->allow_extra_args(false);
  command
      ->add_option("--jobs", arguments->options.jobs,
                   "so many runs at a time; they slow one another, so not where speed is measured")
      ->check(CLI::Range(1, 1024));
  command->add_flag("--list", arguments->options.list, "tell what is done and what is not, and run nothing");
  command->add_flag("--resubmit", arguments->options.resubmit,
                    "submit again what was submitted and has left no result");
  command->callback([arguments] {
    const Study study = read_study(arguments->study, arguments->sets);
    StudyOptions& options = arguments->options;
    if (options.out.empty()) options.out = "runs/" + study.name;
    options.program = std::filesystem::read_symlink("/proc/self/exe");
    options.versions = version_text();
    options.stop_requested = stop_requested;
    install_stop_signals();
    const StudyOutcome outcome = run_study(study, options);
    if (!outcome.failures.empty()) fail(outcome, study.cells.size());
  });
}

}  // namespace lamina
