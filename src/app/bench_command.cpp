#include <fmt/format.h>

#include <filesystem>

#include "commands.hpp"
#include "lamina/core/files.hpp"
#include "lamina/study/bench.hpp"
#include "lamina/study/memory.hpp"
#include "lamina/study/step_cost.hpp"

namespace lamina {
namespace {

void print_beside(const std::vector<std::string>& names, const std::vector<StepCost>& costs) {
  for (std::size_t i = 0; i < costs.size(); ++i)
    fmt::print("{:<32} {:9.2f} ms a step, {:.3f} times ({:.3f} to {:.3f})\n", names[i],
               1e3 * costs[i].seconds.median, costs[i].ratio.median, costs[i].ratio.lowest,
               costs[i].ratio.highest);
}

void print_memory(const std::vector<ModuleMemory>& modules) {
  fmt::print("tensors that a step of a stage by itself holds at most, module by module:\n");
  for (const ModuleMemory& module : modules)
    fmt::print("  stage {:<3} module {:<3} {:9.1f} MiB{}\n", module.stage, module.module,
               static_cast<double>(module.peak_bytes) / mib, module.shadow ? "  (shadow)" : "");
}

RunPlan plan_of(const std::string& file) {
  ConfigArguments arguments;
  arguments.files = {file};
  return arguments.plan();
}

}  // namespace

void add_bench_command(CLI::App& app) {
  struct Arguments : ConfigArguments {
    BenchOptions options;
    bool pipeline_only = false;
    std::vector<std::string> beside;
  };
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("bench", "steady throughput, each stage's own time, pipeline efficiency");
  arguments->add_to(*command);
  arguments->add_trace_to(*command);
  command->add_option("--out", arguments->out, "write DIR/summary.json");
  command->add_option("--steps", arguments->options.steps, "training steps a round")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command->add_option("--rounds", arguments->options.rounds, "repetitions; the median is shown")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command
      ->add_option("--alone", arguments->options.alone_repeats,
                   "steps of each stage by itself, before and after a round")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command->add_flag("--pipeline-only", arguments->pipeline_only, "leave out the same stages on one worker");
  command
      ->add_option("--beside", arguments->beside,
                   "instead: time single steps of the whole network, by turns with those of these other "
                   "configurations, --rounds of each")
      ->allow_extra_args(false);
  command->callback([arguments] {
    const RunPlan plan = arguments->plan();
    if (!arguments->beside.empty()) {
      std::vector<RunPlan> plans{plan};
      std::vector<std::string> names{fmt::format("{}", fmt::join(arguments->files, " "))};
      for (const std::string& file : arguments->beside) {
        plans.push_back(plan_of(file));
        names.push_back(file);
      }
      print_beside(names, compare_steps(plans, arguments->options.rounds));
      return;
    }
    std::optional<RunPlan> one_worker;
    if (plan.num_workers() > 1 && !plan.over_mpi && !arguments->pipeline_only) {
      RunConfig config = plan.config;
      config.pipeline.workers = 1;
      config.pipeline.replicas = 1;
      one_worker = make_run_plan(std::move(config), mpi_launch());
    }
    arguments->options.trace = arguments->trace;
    const auto report = bench(plan, one_worker ? &*one_worker : nullptr, arguments->options);
    if (!report) return;
    fmt::print("{}", to_table(*report));
    const std::vector<ModuleMemory> memory = measure_memory(plan);
    print_memory(memory);
    if (arguments->out.empty()) return;
    make_directory(arguments->out);
    write_file_atomically(std::filesystem::path(arguments->out) / "summary.json",
                          to_json_text(*report, memory));
  });
}

}  // namespace lamina
