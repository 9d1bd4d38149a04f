#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "lamina/study/bench.hpp"
#include "lamina/study/memory.hpp"
#include "lamina/study/step_cost.hpp"

namespace lamina {
namespace {

struct BenchArguments : ConfigArguments {
  BenchOptions options;
  bool pipeline_only = false;
  std::vector<std::string> beside;
};

nlohmann::json as_json(const Spread& spread) {
  return {{"median", spread.median}, {"lowest", spread.lowest}, {"highest", spread.highest}};
}

// Single steps of several configurations, to all of which the command line's overrides apply.
void run_beside(const BenchArguments& arguments) {
  std::vector<RunPlan> plans{arguments.plan()};
  std::vector<std::string> names{fmt::format("{}", fmt::join(arguments.files, " "))};
  for (const std::string& file : arguments.beside) {
    ConfigArguments other = arguments;
    other.files = {file};
    plans.push_back(other.plan());
    names.push_back(file);
  }
  const std::vector<StepCost> costs = compare_steps(plans, arguments.options.rounds);
  nlohmann::json sides;
  for (std::size_t i = 0; i < costs.size(); ++i) {
    const StepCost& cost = costs[i];
    fmt::print("{:<32} {:9.2f} ms a step, {:.3f} times ({:.3f} to {:.3f})\n", names[i],
               1e3 * cost.seconds.median, cost.ratio.median, cost.ratio.lowest, cost.ratio.highest);
    sides.push_back(
        {{"config", names[i]}, {"step_s", as_json(cost.seconds)}, {"ratio", as_json(cost.ratio)}});
  }
  keep_summary(arguments.out, nlohmann::json{{"sides", sides}}.dump(2) + "\n");
}

void print_memory(const std::vector<ModuleMemory>& modules) {
  fmt::print("tensors that a step of a stage by itself holds at most, module by module:\n");
  for (const ModuleMemory& module : modules)
    fmt::print("  stage {:<3} module {:<3} {:9.1f} MiB{}\n", module.stage, module.module,
               static_cast<double>(module.peak_bytes) / mib, module.shadow ? "  (shadow)" : "");
}

void run_bench(BenchArguments& arguments) {
  const RunPlan plan = arguments.plan();
  std::optional<RunPlan> one_worker;
  if (plan.num_workers() > 1 && !plan.over_mpi && !arguments.pipeline_only) {
    RunConfig config = plan.config;
    config.pipeline.workers = 1;
    config.pipeline.replicas = 1;
    one_worker = make_run_plan(std::move(config), mpi_launch());
  }
  arguments.options.trace = arguments.trace;
  const auto report = bench(plan, one_worker ? &*one_worker : nullptr, arguments.options);
  if (!report) return;
  fmt::print("{}", to_table(*report));
  const std::vector<ModuleMemory> memory = measure_memory(plan);
  print_memory(memory);
  keep_summary(arguments.out, to_json_text(*report, memory));
}

// Those that say how the stream is measured, which --beside does without.
std::vector<CLI::Option*> add_stream_options(CLI::App& command, BenchArguments& arguments) {
  const auto count = [&](const char* name, int& value, const char* help) {
    return command.add_option(name, value, help)->check(CLI::Range(1, 1000000))->capture_default_str();
  };
  return {count("--steps", arguments.options.steps, "training steps a round"),
          count("--alone", arguments.options.alone_repeats,
                "steps of each stage by itself, before and after a round"),
          command.add_flag("--pipeline-only", arguments.pipeline_only,
                           "leave out the same stages on one worker")};
}

}  // namespace

void add_bench_command(CLI::App& app) {
  const auto arguments = std::make_shared<BenchArguments>();
  CLI::App* command =
      app.add_subcommand("bench", "steady throughput, each stage's own time, pipeline efficiency");
  arguments->add_to(*command);
  command->add_option("--out", arguments->out, "write DIR/summary.json")->check(usable_path);
  command
      ->add_option("--rounds", arguments->options.rounds,
                   "repetitions; the one of median throughput is shown, with the range")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  std::vector<CLI::Option*> of_the_stream = add_stream_options(*command, *arguments);
  of_the_stream.push_back(arguments->add_trace_to(*command));
  CLI::Option* beside = command
                            ->add_option("--beside", arguments->beside,
                                         "instead: time single steps of the whole network, by turns with "
                                         "those of these other configurations, --rounds of each")
                            ->allow_extra_args(false);
  for (CLI::Option* option : of_the_stream) beside->excludes(option);
  command->callback(
      [arguments] { arguments->beside.empty() ? run_bench(*arguments) : run_beside(*arguments); });
}

}  // namespace lamina
