#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>

#include "lamina/core/process.hpp"
#include "lamina/pipeline/end_to_end_schedule.hpp"
#include "lamina/study/memory.hpp"
#include "lamina/study/module_profile.hpp"
#include "lamina/study/profile.hpp"
#include "lamina/study/spread.hpp"
#include "module_runs.hpp"
#include "neighbours.hpp"
#include "profile_fields.hpp"

namespace lamina {
namespace {

// Modules that follow each other, stepped as a stage by themselves; and where their cost goes.
struct Run {
  int first, last;
  bool lookahead = false;
  RunCost* cost = nullptr;
};

std::int64_t bytes_of(const Packet& packet) {
  std::int64_t bytes = 0;
  for (const at::Tensor* tensor : {&packet.x_BCHW, &packet.y_B, &packet.image_BCHW})
    if (tensor->defined()) bytes += static_cast<std::int64_t>(tensor->nbytes());
  return bytes;
}

// By how much times of several kinds deviate from the mean of their kind; long ones count as such.
class Variation {
 public:
  void add(const std::vector<double>& seconds) {
    if (seconds.size() < 2) return;
    const auto count = static_cast<double>(seconds.size());
    const double mean = std::accumulate(seconds.begin(), seconds.end(), 0.0) / count;
    mean_squares_ += mean * mean;
    for (const double each : seconds) variance_ += (each - mean) * (each - mean) / (count - 1);
  }
  double deviation() const { return mean_squares_ > 0 ? std::sqrt(variance_ / mean_squares_) : 0; }

 private:
  double variance_ = 0, mean_squares_ = 0;
};

// Runs that are stepped in turn, as modules of one stage of the plan's are behind one another.
class StageRuns {
 public:
  StageRuns(int stage, std::vector<Run> runs)
      : stage_(stage), runs_(std::move(runs)), step_s_(runs_.size()), forward_s_(runs_.size()) {}

  int stage() const { return stage_; }

  // Makes them, and measures what they hold.
  void make(const RunPlan& plan, MadeUpBatches& batches) {
    TensorBytes bytes;
    for (const Run& run : runs_) {
      const std::int64_t before = bytes.live();
      Stage& stage = stages_.emplace_back(stage_of_modules(plan, run.first, run.last, run.lookahead),
                                          plan.stage_options, plan.initializer());
      const std::int64_t made = bytes.live() - before;
      Packet packet = batches.of(stage, plan);
      // As if nobody had the packet before.
      const std::int64_t none = bytes.live() - made - bytes_of(packet);
      StageProbe& probe = probes_.emplace_back(stage, plan, std::move(packet));
      for (int i = 0; i < StageProbe::warmup_steps; ++i) {  // the first makes the momentum, too
        bytes.take_peak();
        probe.step_s();
      }
      run.cost->kept_bytes = static_cast<double>(bytes.live() - none);
      run.cost->peak_bytes = static_cast<double>(bytes.take_peak() - none);
    }
  }

  void step(bool counts) {
    const TurnTimes times = StageProbe::step_in_turn(probes_);
    if (!counts) return;
    for (std::size_t i = 0; i < runs_.size(); ++i) {
      step_s_[i].push_back(times.step_s[i]);
      forward_s_[i].push_back(times.forward_s[i]);
    }
    action_s_.resize(times.action_s.size());
    for (std::size_t i = 0; i < action_s_.size(); ++i) action_s_[i].push_back(times.action_s[i]);
  }

  void tell_seconds() {
    for (std::size_t i = 0; i < runs_.size(); ++i) {
      runs_[i].cost->seconds = spread(std::move(step_s_[i])).median;
      runs_[i].cost->forward_s = spread(std::move(forward_s_[i])).median;
    }
  }

  // How much what a stage of the plan does varies: of its modules each by itself, which are as much as it.
  void add_to(Variation& variation) const {
    if (runs_.front().first == runs_.front().last && !runs_.front().lookahead)
      for (const std::vector<double>& of_action : action_s_) variation.add(of_action);
  }

 private:
  int stage_;
  std::vector<Run> runs_;
  std::vector<std::vector<double>> step_s_, forward_s_;  // by run
  std::vector<std::vector<double>> action_s_{};          // by action
  std::deque<Stage> stages_{};
  std::deque<StageProbe> probes_{};
};

// All runs of a window's profile, by stages of the plan's own cut and by length.
std::deque<StageRuns> runs_of(const RunPlan& plan, WindowProfile& profile) {
  const auto num_modules = static_cast<int>(plan.modules.size());
  const auto window = static_cast<int>(profile.window);
  const auto cost = [](std::vector<RunCost>& by_last, int last) {
    return &by_last[static_cast<std::size_t>(last)];
  };
  std::deque<StageRuns> all;
  for (const StageSpec& stage : plan.stages) {
    const int begin = stage.modules.front().index, end = stage.modules.back().index;
    for (int size = 1; size <= std::min(window, num_modules); ++size) {
      std::vector<Run> runs;
      for (int last = std::max(begin, size - 1); last <= end; ++last)
        runs.push_back(
            {last - size + 1, last, false, cost(profile.runs[static_cast<std::size_t>(size) - 1], last)});
      if (!runs.empty()) all.emplace_back(stage.index, std::move(runs));
    }
    std::vector<Run> runs;
    for (int last = begin; window > 1 && last <= std::min(end, num_modules - 2); ++last)
      runs.push_back({std::max(0, last - window + 2), last, true, cost(profile.with_shadows, last)});
    if (!runs.empty()) all.emplace_back(stage.index, std::move(runs));
  }
  return all;
}

// The whole network again and again, not one stage behind another: a machine that is slow for some seconds
// would else be so to one of them, and a cut that makes up for that is a bad one that promises much.
WindowProfile measure_window(const RunPlan& plan, int repeats, int neighbours, Variation& variation) {
  const auto window = plan.stage_options.window;
  const std::vector<RunCost> none(plan.modules.size());
  WindowProfile profile{.window = window,
                        .runs = {std::min(static_cast<std::size_t>(window), none.size()), none}};
  if (window > 1) profile.with_shadows = none;
  MadeUpBatches batches;
  std::deque<StageRuns> all = runs_of(plan, profile);
  for (StageRuns& runs : all) runs.make(plan, batches);
  Neighbours others(plan, neighbours);
  for (int step = -1; step < repeats; ++step)  // at first everybody is new to the caches
    for (StageRuns& runs : all) {
      others.compute_beside(runs.stage());
      runs.step(/*counts=*/step >= 0);
    }
  for (StageRuns& runs : all) {
    runs.add_to(variation);
    runs.tell_seconds();
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

}  // namespace

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
  Variation variation;
  for (const std::int64_t window : windows)
    profile.windows.push_back(measure_window(with_window(alone, window), repeats, neighbours, variation));
  profile.deviation = variation.deviation();
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

}  // namespace lamina
