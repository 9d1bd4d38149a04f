#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <optional>
#include <set>

#include "commands.hpp"
#include "lamina/comm/mpi.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "lamina/pipeline/end_to_end_schedule.hpp"
#include "lamina/pipeline/stage_cut.hpp"
#include "lamina/study/measure_links.hpp"
#include "lamina/study/module_profile.hpp"
#include "lamina/study/simulated_pipeline.hpp"

namespace lamina {
namespace {

struct PlanArguments : ConfigArguments {
  std::string write;
  std::string profile;
  int repeats = 7;
  std::optional<int> neighbours;
  double memory_mib = 0;
  double mib_per_s = 0;
  std::vector<double> speeds;
  std::vector<std::int64_t> windows;
  std::int64_t workers = 0;
};

// The configuration's window, and those that are to be priced beside it.
std::vector<std::int64_t> windows_of(const PlanArguments& arguments, const RunPlan& plan) {
  std::set<std::int64_t> windows(arguments.windows.begin(), arguments.windows.end());
  windows.insert(plan.stage_options.window);
  return {windows.begin(), windows.end()};
}

ModuleProfile profile_of(const PlanArguments& arguments, const RunPlan& plan, const MpiLaunch& launch) {
  if (!arguments.profile.empty() && std::filesystem::exists(arguments.profile))
    return read_profile(arguments.profile, plan);
  ModuleProfile profile = measure_profile(plan, windows_of(arguments, plan), arguments.repeats,
                                          arguments.neighbours.value_or(neighbours_of(plan, launch)));
  if (!arguments.profile.empty()) write_profile(arguments.profile, profile);
  return profile;
}

std::string text(const std::optional<double>& images_per_s) {
  return images_per_s ? fmt::format("{:.1f} images/s", *images_per_s) : "no cut within the memory";
}

class Planner {
 public:
  Planner(const PlanArguments& arguments, const RunPlan& plan, const ModuleProfile& profile)
      : arguments_(arguments), plan_(plan), profile_(profile), replicas_(plan.stages.size(), 1) {
    for (std::size_t i = 0; i < replicas_.size() && plan.groups.size() == replicas_.size(); ++i)
      replicas_[i] = plan.groups[i].replicas;
  }

  int num_workers() const { return std::accumulate(replicas_.begin(), replicas_.end(), 0); }

  // Of the configuration's stages and their replicas; with a number of workers, of as many and any replicas.
  StageProblem problem(std::int64_t window, bool lookahead, std::int64_t workers = 0) const {
    StageProblem problem =
        stage_problem(profile_, window, lookahead, static_cast<int>(plan_.config.pipeline.buffers));
    problem.cost = [of_steps = problem.cost, of_snapshots = snapshot_bytes(plan_, window, lookahead)](
                       int first, int last) {
      StageCost cost = of_steps(first, last);
      cost.bytes += of_snapshots(first, last);
      return cost;
    };
    problem.batch = plan_.config.train.batch;
    if (workers > 0)
      problem.most_replicas = static_cast<int>(std::min(problem.batch, workers));
    else
      problem.replicas = replicas_;
    problem.speeds.assign(static_cast<std::size_t>(workers > 0 ? workers : num_workers()), 1.0);
    if (!arguments_.speeds.empty()) {
      if (arguments_.speeds.size() != problem.speeds.size())
        throw Error(ErrorKind::config,
                    fmt::format("--speeds: expected one for each of the {} workers, found {}",
                                problem.speeds.size(), arguments_.speeds.size()));
      problem.speeds = arguments_.speeds;
    }
    if (arguments_.memory_mib > 0) problem.most_bytes = mib * arguments_.memory_mib;
    problem.bytes_per_s = mib * arguments_.mib_per_s;
    return problem;
  }

  StagePlan cut(std::int64_t window, bool lookahead) const { return plan_stages(problem(window, lookahead)); }

  /// Images a second with the best cut; nothing if there is none within the memory.
  std::optional<double> price(std::int64_t window, bool lookahead) const {
    try {
      return images_per_s(cut(window, lookahead));
    } catch (const Error&) {
      return std::nullopt;
    }
  }

  double images_per_s(const StagePlan& plan) const {
    const double step_s =
        played_step_s(plan, plan_.config.pipeline, mib * arguments_.mib_per_s, profile_.deviation);
    return static_cast<double>(plan_.config.train.batch) / step_s;
  }

  void print_modules() const {
    fmt::print("measured on {}, beside {} worker(s)\n", profile_.machine, profile_.neighbours);
    const WindowProfile& costs = profile_.of_window(plan_.stage_options.window);
    for (int module = 0; module < static_cast<int>(plan_.modules.size()); ++module) {
      const RunCost cost = costs.cost(module, module, /*lookahead=*/false);
      fmt::print("module {:<3} {:8.2f} ms a step, {:8.1f} MiB, sends {:7.2f} MiB\n", module,
                 1e3 * cost.seconds, cost.peak_bytes / mib,
                 profile_.message_bytes[static_cast<std::size_t>(module)] / mib);
    }
  }

  void print_stages(const StagePlan& plan) const {
    for (std::size_t i = 0; i < plan.stages.size(); ++i) {
      const PlannedStage& stage = plan.stages[i];
      fmt::print("stage  {:<3} {:8.2f} ms a step, {:8.1f} MiB, modules {} to {}", i, 1e3 * stage.seconds,
                 stage.bytes / mib, stage.first, stage.last);
      if (stage.replicas > 1) fmt::print(", {} replicas", stage.replicas);
      if (stage.send_s > 0) fmt::print(", its link {:.2f} ms", 1e3 * stage.send_s);
      fmt::print("\n");
    }
    fmt::print("pipeline.stages: [{}]\n", fmt::join(plan.ends(), ", "));
    const PipelineConfig& pipeline = plan_.config.pipeline;
    fmt::print(
        "promises {:.1f} images/s with {} of {} thread(s){}\n", images_per_s(plan),
        deals_stages_out(pipeline.schedule) ? fmt::format("{} workers, each", *pipeline.workers)
        : num_workers() > static_cast<int>(replicas_.size()) ? fmt::format("{} workers, each", num_workers())
                                                             : std::string("a worker for each stage, each"),
        *pipeline.threads,
        profile_.deviation > 0 ? fmt::format(", whose times deviate by {:.1f} %", 100 * profile_.deviation)
                               : "");
    const PlannedStage& slowest = plan.stages[static_cast<std::size_t>(plan.slowest)];
    fmt::print("limit: {}\n",
               plan.by_link ? fmt::format("the link behind stage {}, {:.2f} ms a step", plan.slowest,
                                          1e3 * slowest.send_s)
               : slowest.first == slowest.last
                   ? fmt::format("stage {}, a single module: only {}a finer partition would help",
                                 plan.slowest, may_share_stages(pipeline.schedule) ? "replicas or " : "")
                   : fmt::format("stage {}", plan.slowest));
  }

  // Every window that was measured, with what crosses the stages' boundaries and without; each with its best
  // cut.
  void print_prices() const {
    for (const WindowProfile& costs : profile_.windows) {
      const auto stop = price(costs.window, false);
      fmt::print("window {}: ", costs.window);
      if (costs.window == 1 || replicas_.size() == 1) {
        fmt::print("{}\n", text(stop));
        continue;
      }
      const auto lookahead = price(costs.window, true);
      fmt::print("{} with across_stages: lookahead, {} with stop", text(lookahead), text(stop));
      if (lookahead && stop) fmt::print("; lookahead costs {:.1f} %", 100 * (1 - *lookahead / *stop));
      fmt::print("\n");
    }
  }

  // For so many workers, of which several may share a stage.
  void print_replicas(std::int64_t window, bool lookahead, std::int64_t workers,
                      const StagePlan& best) const {
    if (best.stages[static_cast<std::size_t>(best.slowest)].replicas < plan_.config.train.batch)
      print_replicas("one more worker for its slowest stage",
                     with_a_replica(problem(window, lookahead), best), best);
    print_replicas(fmt::format("the best for {} workers", workers),
                   plan_stages(problem(window, lookahead, workers)), best);
  }

 private:
  void print_replicas(const std::string& what, const StagePlan& plan, const StagePlan& best) const {
    std::vector<int> replicas;
    for (const PlannedStage& stage : plan.stages) replicas.push_back(stage.replicas);
    const double found = images_per_s(plan);
    fmt::print(
        "{}: {:.1f} images/s, {:.2f} times that, with pipeline.stages: [{}], pipeline.replicas: [{}]\n", what,
        found, found / images_per_s(best), fmt::join(plan.ends(), ", "), fmt::join(replicas, ", "));
  }

  const PlanArguments& arguments_;
  const RunPlan& plan_;
  const ModuleProfile& profile_;
  std::vector<int> replicas_;  // by stage, as configured
};

// Between the processes of an MPI job, which end with that but for the first.
void measure_links_into(PlanArguments& arguments, const MpiLaunch& launch) {
  constexpr Seconds limit{600};
  const std::unique_ptr<Transport> transport = make_mpi_transport(limit);
  const LinkSpeed found = measure_links(*transport, limit);
  arguments.mib_per_s = found.bytes_per_s / mib;
  if (launch.rank == 0)
    fmt::print("links: the slowest of {} carries {:.1f} MiB/s, a byte takes {:.1f} us\n", launch.size - 1,
               arguments.mib_per_s, 1e6 * found.latency_s);
}

void run_plan_command(PlanArguments& arguments) {
  const MpiLaunch launch = mpi_launch();
  if (launch.size > 1 && arguments.mib_per_s == 0) measure_links_into(arguments, launch);
  if (launch.rank > 0) return;
  const RunPlan plan = arguments.plan({});
  const ModuleProfile profile = profile_of(arguments, plan, launch);
  for (const std::int64_t wanted : arguments.windows)
    profile.of_window(wanted);  // or it says that it is missing
  const Planner planner(arguments, plan, profile);
  const std::int64_t window = plan.stage_options.window;
  const bool lookahead = plan.config.method.mlaan.looks_ahead();
  planner.print_modules();
  const StagePlan best = planner.cut(window, lookahead);
  planner.print_stages(best);
  planner.print_prices();
  if (arguments.speeds.empty() && may_share_stages(plan.config.pipeline.schedule))
    planner.print_replicas(window, lookahead,
                           arguments.workers > 0 ? arguments.workers : planner.num_workers() + 1, best);
  if (arguments.write.empty()) return;
  RunConfig config = plan.config;
  config.pipeline.stages = best.ends();
  write_file_atomically(arguments.write, to_yaml(list_fields(config)));
}

}  // namespace

void add_plan_command(CLI::App& app) {
  const auto arguments = std::make_shared<PlanArguments>();
  CLI::App* command = app.add_subcommand(
      "plan",
      "measures every module on this machine and cuts the stages so that the slowest is as fast as can be");
  arguments->add_to(*command);
  command->add_option("--write", arguments->write, "write the configuration with that cut to a file");
  command->add_option("--repeats", arguments->repeats, "steps measured per module; the median counts")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command
      ->add_option("--neighbours", arguments->neighbours,
                   "workers that compute beside on this host meanwhile; else as many as a run's worker has, "
                   "as far as there are processors for them")
      ->check(CLI::Range(0, 65536));
  command->add_option("--profile", arguments->profile,
                      "the measurements: taken from this file if it is there, else written to it");
  command->add_option("--memory-mib", arguments->memory_mib, "that a worker has for tensors; 0: no limit")
      ->check(CLI::NonNegativeNumber)
      ->check(finite);
  command
      ->add_option(
          "--mib-per-s", arguments->mib_per_s,
          "of the links between workers; 0: as measured between the ranks, under mpirun, else no limit")
      ->check(CLI::NonNegativeNumber)
      ->check(finite);
  CLI::Option* speeds = command
                            ->add_option("--speeds", arguments->speeds,
                                         "of the stages' workers: one each, by commas; 1 is this machine's")
                            ->delimiter(',')
                            ->check(CLI::PositiveNumber)
                            ->check(finite);
  command->add_option("--windows", arguments->windows, "also measure and price these windows k, by commas")
      ->delimiter(',')
      ->check(CLI::Range(1, 64));
  command
      ->add_option("--workers", arguments->workers,
                   "workers for which replicas are proposed; 0: one more than there are")
      ->check(CLI::Range(0, 4096))
      ->excludes(speeds);
  command->callback([arguments] { run_plan_command(*arguments); });
}

}  // namespace lamina
