#include <fmt/format.h>
#include <fmt/ranges.h>

#include "commands.hpp"
#include "lamina/core/error.hpp"
#include "lamina/pipeline/stage_cut.hpp"
#include "lamina/study/module_profile.hpp"
#include "lamina/study/simulated_pipeline.hpp"

namespace lamina {
namespace {

struct SimulateArguments : ConfigArguments {
  std::optional<std::int64_t> workers;
  std::vector<double> stage_ms;
  std::string profile;
  bool best_cut = false;
  bool scale_batch = false;
  std::vector<double> speeds;
  std::int64_t steps = 1000;
  std::int64_t warmup = 0;
  double deviation = 0;
  std::uint64_t seed = 0;
  double mib_per_s = 0, latency_us = 0;
  double snapshot_mib_per_s = 0, snapshot_latency_us = 0;
  double fill_ms = 0, publish_ms = 0;
  double packet_mib = 0, gradient_mib = 0, snapshot_mib = 0;
  int shadows = 0;
  int grid = 0;
};

// One value for all, or one each.
std::vector<double> spread_over(const std::vector<double>& values, std::size_t count, const char* option,
                                const char* what) {
  if (values.size() == count) return values;
  if (values.size() != 1)
    throw Error(ErrorKind::config,
                fmt::format("{}: expected one value for each of the {} {}, or one for all, "
                            "found {}",
                            option, count, what, values.size()));
  return std::vector<double>(count, values.front());
}

// The same run with as many stages, cut as lamina plan would.
RunPlan best_cut(const SimulateArguments& arguments, const RunPlan& plan, const ModuleProfile& profile) {
  StageProblem problem =
      stage_problem(profile, plan.stage_options.window, plan.config.method.mlaan.looks_ahead(),
                    static_cast<int>(plan.config.pipeline.buffers));
  const std::vector<double> speeds =
      spread_over(arguments.speeds.empty() ? std::vector{1.0} : arguments.speeds,
                  static_cast<std::size_t>(plan.num_workers()), "--speeds", "workers");
  problem.batch = plan.config.train.batch;
  if (plan.groups.size() == plan.stages.size()) {
    problem.speeds = speeds;
    for (const WorkerGroup& group : plan.groups) problem.replicas.push_back(group.replicas);
  } else {
    problem.speeds.clear();  // by stage, of its slowest worker, which has others as well
    for (const StageSpec& stage : plan.stages) {
      const WorkerGroup& owners = plan.owners_of(stage.index);
      const auto first = speeds.begin() + owners.first_worker;
      problem.speeds.push_back(*std::min_element(first, first + owners.replicas));
    }
  }
  problem.bytes_per_s = mib * arguments.mib_per_s;
  RunConfig config = plan.config;
  config.pipeline.stages = plan_stages(problem).ends();
  return make_run_plan(std::move(config), {});
}

// As lamina plan measured them.
void set_profiled(SimulatedPipeline& pipeline, const RunPlan& plan, const ModuleProfile& profile) {
  const WindowProfile& costs = profile.of_window(plan.stage_options.window);
  for (const StageSpec& stage : plan.stages) {
    const int replicas = plan.owners_of(stage.index).replicas;
    const RunCost cost =
        costs.cost(static_cast<int>(stage.modules.front().index),
                   static_cast<int>(stage.modules.back().index), plan.config.method.mlaan.looks_ahead());
    pipeline.stage_s.push_back(cost.seconds * replicas * largest_share(plan.config.train.batch, replicas));
    pipeline.forward_share.push_back(cost.forward_share());
  }
}

// The processors of this host say nothing about those that are simulated: unless told otherwise each stage
// has workers of its own.
RunConfig config_of(const SimulateArguments& arguments) {
  ConfigText text = arguments.text();
  RunConfig config = read_run_config(text);
  PipelineConfig& pipeline = config.pipeline;
  if (deals_stages_out(pipeline.schedule) && !pipeline.workers)
    throw Error(
        ErrorKind::config,
        fmt::format("pipeline.workers: expected a number with schedule {}, found auto", pipeline.schedule));
  if (const auto* replicas = std::get_if<std::int64_t>(&pipeline.replicas);
      replicas && !pipeline.workers && pipeline.schedule != "data_parallel")
    pipeline.workers = *replicas * num_stages(pipeline.stages);
  return config;
}

SimulatedPipeline pipeline_of(const SimulateArguments& arguments, std::int64_t& batch) {
  if (!arguments.files.empty()) {
    RunPlan plan = make_run_plan(config_of(arguments), {});
    batch = plan.config.train.batch;
    std::optional<ModuleProfile> profile;
    if (!arguments.profile.empty())
      profile = read_profile(arguments.profile, plan,
                             arguments.scale_batch ? ProfiledBatch::in_proportion : ProfiledBatch::same);
    if (arguments.best_cut) plan = best_cut(arguments, plan, *profile);
    SimulatedPipeline pipeline =
        simulated(plan, /*measure_parts=*/arguments.mib_per_s > 0 || arguments.snapshot_mib_per_s > 0);
    if (profile) set_profiled(pipeline, plan, *profile);
    return pipeline;
  }
  ConfigText text = arguments.text();
  if (arguments.workers) text.set(fmt::format("pipeline.workers={}", *arguments.workers));
  ChainConfig config;
  Problems problems;
  text.fill(config, problems);
  text.raise(problems);
  return make_chain(config, {.message_bytes = mib * arguments.packet_mib,
                             .gradient_bytes = mib * arguments.gradient_mib,
                             .part_bytes = mib * arguments.snapshot_mib,
                             .shadows = arguments.shadows});
}

void set_times(const SimulateArguments& arguments, SimulatedPipeline& pipeline) {
  const auto num_stages = static_cast<std::size_t>(pipeline.schedule.num_stages);
  if (!arguments.stage_ms.empty()) {
    pipeline.stage_s = spread_over(arguments.stage_ms, num_stages, "--stage-ms", "stages");
    for (double& s : pipeline.stage_s) s *= 1e-3;
  }
  if (pipeline.stage_s.empty())
    throw Error(ErrorKind::config,
                "expected the time of a stage's step, by --stage-ms or --profile; found neither");
  if (!arguments.speeds.empty())
    pipeline.speeds = spread_over(arguments.speeds, pipeline.schedule.rounds.size(), "--speeds", "workers");
  pipeline.deviation = arguments.deviation;
  pipeline.seed = arguments.seed;
  pipeline.links = {mib * arguments.mib_per_s, 1e-6 * arguments.latency_us};
  pipeline.snapshot_links = {mib * arguments.snapshot_mib_per_s, 1e-6 * arguments.snapshot_latency_us};
  SnapshotTraffic& snapshots = pipeline.how.snapshots;
  snapshots.fill_s.assign(num_stages, 0.0);
  snapshots.publish_s.assign(num_stages, 0.0);
  for (std::size_t reader = 0; reader < snapshots.reads.size(); ++reader)
    for (const int owner : snapshots.reads[reader]) {
      snapshots.fill_s[reader] = 1e-3 * arguments.fill_ms;
      snapshots.publish_s[static_cast<std::size_t>(owner)] = 1e-3 * arguments.publish_ms;
    }
}

CLI::Option* add_number(CLI::App& command, const char* name, auto& value, const char* help) {
  return command.add_option(name, value, help)
      ->check(CLI::NonNegativeNumber)
      ->check(finite)
      ->capture_default_str();
}

// Of a network, all of which need its configuration.
void add_network_options(CLI::App& command, SimulateArguments& arguments, CLI::Option* config) {
  CLI::Option* profile = command
                             .add_option("--profile", arguments.profile,
                                         "takes these times from what lamina plan --profile wrote")
                             ->needs(config);
  command
      .add_flag("--scale-batch", arguments.scale_batch,
                "the profile may be of another batch, schedule and micro-batches: costs are in proportion "
                "to the batch")
      ->needs(profile);
  command
      .add_flag("--best-cut", arguments.best_cut,
                "cuts into stages as lamina plan would, by these times, speeds and links")
      ->needs(profile)
      ->excludes(command.get_option("--stage-ms"));
}

// Of a chain without a network, which a configuration leaves no room for.
void add_chain_options(CLI::App& command, SimulateArguments& arguments, CLI::Option* config) {
  const auto add = [&](const char* name, auto& value, const char* help) {
    add_number(command, name, value, help)->excludes(config);
  };
  command.add_option("--workers", arguments.workers, "workers of a chain")
      ->check(CLI::Range(1, 1 << 16))
      ->excludes(config);
  add("--packet-mib", arguments.packet_mib, "of a chain: what a stage sends a step");
  add("--gradient-mib", arguments.gradient_mib, "of a chain: what a stage's replicas add up a step");
  add("--snapshot-mib", arguments.snapshot_mib, "of a chain: what each reader of a stage is sent a version");
  add("--shadows", arguments.shadows, "of a chain: following stages whose parts a stage shadows");
}

void add_time_options(CLI::App& command, SimulateArguments& arguments) {
  const auto add = [&](const char* name, auto& value, const char* help) {
    add_number(command, name, value, help);
  };
  command
      .add_option("--stage-ms", arguments.stage_ms,
                  "a stage's step on one worker: one for all, or one each, by commas")
      ->delimiter(',')
      ->check(CLI::PositiveNumber)
      ->check(finite);
  command.add_option("--speeds", arguments.speeds, "of the workers: one each, by commas")
      ->delimiter(',')
      ->check(CLI::PositiveNumber)
      ->check(finite);
  add("--jitter", arguments.deviation, "standard deviation of each step's time, as a part of it; log-normal");
  add("--seed", arguments.seed, "of the jitter");
  add("--mib-per-s", arguments.mib_per_s,
      "of the links between workers, and of sums over replicas; 0: no limit");
  add("--latency-us", arguments.latency_us, "of these links");
  add("--snapshot-mib-per-s", arguments.snapshot_mib_per_s, "of the links that snapshots take; 0: no limit");
  add("--snapshot-latency-us", arguments.snapshot_latency_us, "of these links");
  add("--fill-ms", arguments.fill_ms, "a step, to fill a stage's shadows");
  add("--publish-ms", arguments.publish_ms, "a version, to copy a stage's parts");
}

void add_options(CLI::App& command, SimulateArguments& arguments) {
  CLI::Option* config = command.add_option("config", arguments.files,
                                           "configuration, YAML; none: a chain of stages without a network");
  arguments.add_sets_to(command);
  add_time_options(command, arguments);
  add_network_options(command, arguments, config);
  add_chain_options(command, arguments, config);
  command.add_option("--steps", arguments.steps, "steps that count")
      ->check(CLI::Range(1, 1 << 30))
      ->capture_default_str();
  add_number(command, "--warmup", arguments.warmup, "steps before them; 0: a tenth of them, at least 5");
  add_number(command, "--grid", arguments.grid,
             "instead: who does what when, of so many packets, a slot a stage");
  command.add_option("--out", arguments.out, "write DIR/summary.json")->check(usable_path);
}

}  // namespace

void add_simulate_command(CLI::App& app) {
  const auto arguments = std::make_shared<SimulateArguments>();
  CLI::App* command = app.add_subcommand(
      "simulate", "plays a schedule with given times: throughput, each worker's waits, what limits");
  add_options(*command, *arguments);
  command->callback([arguments] {
    const std::string out = std::exchange(arguments->out, {});  // not the run's
    std::int64_t batch = 0;
    SimulatedPipeline pipeline = pipeline_of(*arguments, batch);
    if (arguments->grid > 0) {
      fmt::print("{}", text(play(pipeline.schedule, arguments->grid, pipeline.how.buffers)));
      return;
    }
    set_times(*arguments, pipeline);
    const std::int64_t warmup =
        arguments->warmup > 0 ? arguments->warmup : std::max<std::int64_t>(5, arguments->steps / 10);
    const Simulation found = simulate(pipeline, arguments->steps, warmup);
    fmt::print("{}", to_table(found, batch));
    keep_summary(out, to_json_text(found, batch));
  });
}

}  // namespace lamina
