#include <fmt/format.h>

#include <filesystem>

#include "commands.hpp"
#include "lamina/core/files.hpp"
#include "lamina/study/bench.hpp"

namespace lamina {

void add_bench_command(CLI::App& app) {
  struct Arguments : ConfigArguments {
    BenchOptions options;
  };
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("bench", "steady throughput, each stage's own time, pipeline efficiency");
  arguments->add_to(*command);
  command->add_option("--out", arguments->out, "write DIR/summary.json");
  command->add_option("--steps", arguments->options.steps, "training steps a round")->capture_default_str();
  command->add_option("--rounds", arguments->options.rounds, "repetitions; the median is shown")
      ->capture_default_str();
  command->callback([arguments] {
    const RunPlan plan = arguments->plan();
    std::optional<RunPlan> one_worker;
    if (plan.num_workers() > 1 && !plan.over_mpi) {
      RunConfig config = plan.config;
      config.pipeline.workers = 1;
      one_worker = make_run_plan(std::move(config), mpi_launch());
    }
    const auto report = bench(plan, one_worker ? &*one_worker : nullptr, arguments->options);
    if (!report) return;
    fmt::print("{}", to_table(*report));
    if (arguments->out.empty()) return;
    make_directory(arguments->out);
    write_file_atomically(std::filesystem::path(arguments->out) / "summary.json", to_json_text(*report));
  });
}

}  // namespace lamina
