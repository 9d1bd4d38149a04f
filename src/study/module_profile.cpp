#include "lamina/study/module_profile.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <deque>

#include "lamina/core/error.hpp"
#include "lamina/core/process.hpp"
#include "lamina/pipeline/end_to_end_schedule.hpp"
#include "lamina/study/memory.hpp"
#include "lamina/study/profile.hpp"
#include "lamina/study/spread.hpp"
#include "neighbours.hpp"
#include "profile_fields.hpp"

namespace lamina {
namespace {

// The modules first to last as a stage, alone or with what follows it.
StageSpec stage_of(const RunPlan& plan, int first, int last, bool lookahead) {
  const auto begin = plan.modules.begin();
  std::vector<std::vector<ModuleSpec>> cut;
  if (first > 0) cut.emplace_back(begin, begin + first);
  const std::size_t number = cut.size();
  cut.emplace_back(begin + first, begin + last + 1);
  if (begin + last + 1 != plan.modules.end()) cut.emplace_back(begin + last + 1, plan.modules.end());
  StageSpec spec = make_stage_specs(cut, plan.stage_options.window, lookahead)[number];
  spec.index = 0;  // of the plan's stages there may be no more
  return spec;
}

// Modules that follow each other.
struct Run {
  int first, last;
  bool lookahead = false;
};

// Makes them all, and steps them in turn as parts of one stage.
std::vector<RunCost> measure_runs(const std::vector<Run>& runs, const RunPlan& plan, int repeats) {
  if (runs.empty()) return {};
  std::deque<Stage> stages;
  std::deque<StageProbe> probes;
  std::vector<RunCost> costs;
  TensorBytes bytes;
  for (const auto& [first, last, lookahead] : runs) {
    const std::int64_t before = bytes.live();
    StageProbe& probe = probes.emplace_back(
        stages.emplace_back(stage_of(plan, first, last, lookahead), plan.stage_options, plan.initializer()),
        plan);
    for (int i = 0; i < StageProbe::warmup_steps; ++i) {  // the first makes the momentum, too
      bytes.take_peak();
      probe.step_s();
    }
    costs.push_back({.kept_bytes = static_cast<double>(bytes.live() - before),
                     .peak_bytes = static_cast<double>(bytes.take_peak() - before)});
  }
  std::vector<std::vector<double>> seconds(runs.size());
  for (int step = 0; step < repeats; ++step) {
    const std::vector<double> of_step = StageProbe::step_in_turn_s(probes);
    for (std::size_t i = 0; i < runs.size(); ++i) seconds[i].push_back(of_step[i]);
  }
  for (std::size_t i = 0; i < runs.size(); ++i) costs[i].seconds = spread(std::move(seconds[i])).median;
  return costs;
}

// By the last module of each run. Those of one stage of the plan's own cut are measured together, while the
// host's other workers compute as they would beside it.
WindowProfile measure_window(const RunPlan& plan, int repeats, int neighbours) {
  const auto num_modules = static_cast<int>(plan.modules.size());
  const auto window = static_cast<int>(plan.stage_options.window);
  const std::vector<RunCost> none(plan.modules.size());
  WindowProfile profile{.window = window,
                        .runs = {static_cast<std::size_t>(std::min(window, num_modules)), none}};
  if (window > 1) profile.with_shadows = none;
  for (const StageSpec& stage : plan.stages) {
    const Neighbours beside(plan, stage.index, neighbours);
    const auto measure = [&](std::vector<RunCost>& by_last, const std::vector<Run>& runs) {
      const std::vector<RunCost> costs = measure_runs(runs, plan, repeats);
      for (std::size_t i = 0; i < runs.size(); ++i)
        by_last[static_cast<std::size_t>(runs[i].last)] = costs[i];
    };
    const int begin = stage.modules.front().index, end = stage.modules.back().index;
    std::vector<Run> runs;
    for (int size = 1; size <= std::min(window, num_modules); ++size) {
      runs.clear();
      for (int last = std::max(begin, size - 1); last <= end; ++last) runs.push_back({last - size + 1, last});
      measure(profile.runs[static_cast<std::size_t>(size) - 1], runs);
    }
    if (window == 1) continue;
    runs.clear();
    for (int last = begin; last <= std::min(end, num_modules - 2); ++last)
      runs.push_back({std::max(0, last - window + 2), last, true});
    measure(profile.with_shadows, runs);
  }
  return profile;
}

// One worker a stage: what replicas share is divided where a plan has some.
RunPlan without_replicas(const RunPlan& plan) {
  RunConfig config = plan.config;
  config.pipeline.replicas = std::int64_t{1};
  config.pipeline.workers = static_cast<std::int64_t>(plan.groups.size());
  return make_run_plan(std::move(config), {});
}

RunPlan with_window(const RunPlan& plan, std::int64_t window) {
  if (plan.stage_options.window == window) return plan;
  RunConfig config = plan.config;
  config.method.mlaan.window = window;
  RunPlan other = make_run_plan(std::move(config), {});
  if (other.stage_options.window == window) return other;
  throw Error(ErrorKind::config,
              fmt::format("windows: expected 1, as method.mlaan is none, found {}", window));
}

double transient(const RunCost& cost) {
  return cost.peak_bytes - cost.kept_bytes;
}

}  // namespace

RunCost WindowProfile::cost(int first, int last, bool lookahead) const {
  const int longest = static_cast<int>(runs.size());
  const auto run = [this](int size, int end) {
    return size == 0 ? RunCost{} : runs[static_cast<std::size_t>(size) - 1][static_cast<std::size_t>(end)];
  };
  const int head = std::min(longest, last - first + 1);
  RunCost cost = run(head, first + head - 1);
  double transient_bytes = transient(cost);
  const auto add = [&](const RunCost& with, const RunCost& without) {
    cost.seconds += with.seconds - without.seconds;
    cost.kept_bytes += with.kept_bytes - without.kept_bytes;
    transient_bytes = std::max(transient_bytes, transient(with));
  };
  for (int module = first + head; module <= last; ++module)
    add(run(longest, module), run(longest - 1, module - 1));
  if (lookahead && !with_shadows.empty() && last + 1 < static_cast<int>(with_shadows.size()))
    add(with_shadows[static_cast<std::size_t>(last)], run(std::min<int>(longest - 1, last + 1), last));
  cost.peak_bytes = cost.kept_bytes + transient_bytes;
  return cost;
}

const WindowProfile& ModuleProfile::of_window(std::int64_t window) const {
  const auto found = std::find_if(windows.begin(), windows.end(), [window](const WindowProfile& profile) {
    return profile.window == window;
  });
  if (found == windows.end())
    throw Error(ErrorKind::config,
                fmt::format("profile: expected measurements with windows of {} modules, found "
                            "none; measure anew",
                            window));
  return *found;
}

ModuleProfile measure_profile(const RunPlan& plan, const std::vector<std::int64_t>& windows, int repeats,
                              int neighbours) {
  at::set_num_threads(static_cast<int>(*plan.config.pipeline.threads));
  ModuleProfile profile{.of = fields_that_decide(plan.config),
                        .machine = fmt::format("{}, {} processors", host_name(), usable_processors()),
                        .neighbours = neighbours};
  const RunPlan alone = without_replicas(plan);
  const std::int64_t bytes_per_value = plan.stage_options.rounds_output ? 2 : 4;
  for (const ModuleSpec& module : plan.modules) {
    const FeatureShape& out = module.out;
    profile.message_bytes.push_back(
        module.is_last ? 0.0
                       : static_cast<double>(plan.config.train.batch * out.num_values() * bytes_per_value));
    profile.gradient_bytes.push_back(4.0 * static_cast<double>(module.parameters()));
  }
  for (const std::int64_t window : windows)
    profile.windows.push_back(measure_window(with_window(alone, window), repeats, neighbours));
  return profile;
}

int neighbours_of(const RunPlan& plan, const MpiLaunch& launch) {
  const PipelineConfig& pipeline = plan.config.pipeline;
  if (pipeline.device != "cpu") return 0;
  const auto num_stages = static_cast<int>(plan.stages.size());
  const int workers = launch.size > 1                       ? launch.local_size
                      : deals_stages_out(pipeline.schedule) ? plan.num_workers()
                                                            : std::max(plan.num_workers(), num_stages);
  const int room = usable_processors() / static_cast<int>(*pipeline.threads);
  return std::max(1, std::min(workers, room)) - 1;
}

std::function<double(int first, int last)> snapshot_bytes(const RunPlan& plan, std::int64_t window,
                                                          bool lookahead) {
  return [plan = with_window(plan, window), lookahead](int first, int last) {
    const StageSpec stage = stage_of(plan, first, last, lookahead);
    std::vector<std::string> parts = stage.shadowed();
    parts.insert(parts.end(), stage.published.begin(), stage.published.end());
    std::int64_t values = 0;
    for (const ModuleSpec& module : plan.modules) {
      const bool whole = std::ranges::count(parts, window_part_name(module.index)) > 0;
      for (const BlockSpec& block : module.blocks)
        values += block.parameters * (whole + std::ranges::count(parts, ema_part(block.name)));
      for (const BranchSpec& branch : module.branches)
        if (whole && branch.window_weight > 0) values += branch.parameters();
    }
    return 4.0 * static_cast<double>(values) * static_cast<double>(plan.snapshots.depth());
  };
}

StageProblem stage_problem(const ModuleProfile& profile, std::int64_t window, bool lookahead, int buffers) {
  const WindowProfile& costs = profile.of_window(window);
  const auto cost = [=, &profile, &costs](int first, int last) {
    const RunCost run = costs.cost(first, last, lookahead);
    StageCost stage{.seconds = run.seconds, .bytes = run.peak_bytes};
    stage.message_bytes = profile.message_bytes[static_cast<std::size_t>(last)];
    stage.bytes += buffers * stage.message_bytes;
    if (first > 0) stage.bytes += buffers * profile.message_bytes[static_cast<std::size_t>(first) - 1];
    for (int module = first; module <= last; ++module)
      stage.gradient_bytes += profile.gradient_bytes[static_cast<std::size_t>(module)];
    return stage;
  };
  return {.num_pieces = static_cast<int>(profile.message_bytes.size()), .cost = cost};
}

}  // namespace lamina
