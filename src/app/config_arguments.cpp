#include <filesystem>

#include "commands.hpp"
#include "lamina/core/files.hpp"
#include "lamina/core/log.hpp"

namespace lamina {

void keep_summary(const std::string& out, const std::string& text) {
  if (out.empty()) return;
  make_directory(out);
  write_file_atomically(std::filesystem::path(out) / "summary.json", text);
}

void ConfigArguments::add_to(CLI::App& command) {
  command.add_option("config", files, "configuration, YAML; of several files a later one wins, key by key")
      ->required();
  add_sets_to(command);
}

void ConfigArguments::add_sets_to(CLI::App& command) {
  command.add_option("--set", sets, "override one value, e.g. --set train.max_steps=30")
      ->allow_extra_args(false);
}

void ConfigArguments::add_out_to(CLI::App& command) {
  command.add_option("--out", out, "directory of the run's files (config key: out)")->check(usable_path);
}

CLI::Option* ConfigArguments::add_trace_to(CLI::App& command) {
  return command.add_option(
      "--trace", trace, "write what every worker did to this file, as a trace that ui.perfetto.dev opens");
}

ConfigText ConfigArguments::text() const {
  ConfigText text = ConfigText::from_files(files);
  for (const std::string& assignment : sets) text.set(assignment);
  return text;
}

RunPlan ConfigArguments::plan(const MpiLaunch& launch) const {
  ConfigText configuration = text();
  RunConfig config = read_run_config(configuration);
  if (!out.empty()) config.out = out;
  if (launch.rank == 0)
    for (const std::string& line : passed_over(config)) log_warning(line);
  return make_run_plan(std::move(config), launch);
}

}  // namespace lamina
