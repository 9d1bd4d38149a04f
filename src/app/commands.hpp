#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "lamina/core/process.hpp"
#include "lamina/train/run_plan.hpp"

// One function a subcommand, each in a file of its name: it adds its options to the command line, and what it
// does.

namespace lamina {

void add_train_command(CLI::App& app);
void add_eval_command(CLI::App& app);
void add_show_command(CLI::App& app);
void add_plan_command(CLI::App& app);
void add_simulate_command(CLI::App& app);
void add_step_command(CLI::App& app);
void add_export_command(CLI::App& app);
void add_verify_command(CLI::App& app);
void add_bench_command(CLI::App& app);
void add_study_command(CLI::App& app);
void add_top_command(CLI::App& app);
void add_completion_command(CLI::App& app);

/// Checks of options, which return what is wrong, or nothing: of a path that a run may keep in JSON, and of a
/// number, as CLI11's own checks take "nan" and "inf".
std::string usable_path(const std::string& path);
std::string finite(const std::string& number);

/// Writes OUT/summary.json, unless `out` is empty. @throws Error{storage}
void keep_summary(const std::string& out, const std::string& text);

/// What every command that takes a configuration is given.
struct ConfigArguments {
  std::vector<std::string> files;
  std::vector<std::string> sets;
  std::string out;
  std::string trace;

  /// Adds CONFIG... and --set.
  void add_to(CLI::App& command);
  /// Adds --set alone: of a command that has its configuration from elsewhere.
  void add_sets_to(CLI::App& command);
  /// Adds --out too.
  void add_out_to(CLI::App& command);
  /// Adds --trace too.
  CLI::Option* add_trace_to(CLI::App& command);
  /// The files, each laid over those before it, and the overrides over all. @throws Error{config}
  ConfigText text() const;
  /// Reads, checks and works out the configuration. @throws Error{config}
  /// `launch`: how many workers there are.
  RunPlan plan(const MpiLaunch& launch = mpi_launch()) const;
};

}  // namespace lamina
