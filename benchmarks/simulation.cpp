#include <fmt/format.h>

#include <string_view>

#include "benchmark_main.hpp"
#include "lamina/study/simulated_pipeline.hpp"
#include "lamina/train/engine.hpp"
#include "lamina/train/reporter.hpp"
#include "train/plan_of.hpp"

// Real workers beside the simulation of them. Their stages sleep a set time instead of computing, so that the
// machine's cores are no limit; with jitter both draw the same times.

namespace lamina {
namespace {

struct Options {
  int steps = 200;
  int sleep_ms = 50;
  std::string schedule;  // of the variants; empty: all
};

struct Variant {
  int workers;
  int stages;
  double deviation = 0;
  const char* snapshots = "{}";
  const char* mlaan = "none";
  const char* framework = "greedy";
  const char* schedule = "streaming";
};

// With as many micro-batches as a batch has samples.
Variant end_to_end(int workers, const char* schedule) {
  return {.workers = workers, .stages = workers, .framework = "e2e", .schedule = schedule};
}

RunPlan plan_for(const Options& options, const Variant& variant) {
  RunPlan plan =
      plan_of(fmt::format("model: {{backbone: resnet32}}\npartition: {{modules: 16}}\n"
                          "method: {{framework: {}, mlaan: {}}}\n"
                          "pipeline: {{stages: {}, workers: {}, threads: 1, schedule: {}{}}}\nsnapshots: {}\n"
                          "data: {{name: synthetic, test_limit: 2}}\n"
                          "train: {{batch: 8, max_steps: {}, epochs: 1000, eval_every_steps: {}}}\n",
                          variant.framework, variant.mlaan, variant.stages, variant.workers, variant.schedule,
                          std::string_view(variant.framework) == "e2e" ? ", micro_batches: 8" : "",
                          variant.snapshots, options.steps, options.steps));
  plan.stage_options.sleep_s = 1e-3 * options.sleep_ms;
  plan.stage_options.sleep_deviation = variant.deviation;
  return plan;
}

// The steps that Reporter counts.
double simulated_steps_per_s(const Options& options, const RunPlan& plan) {
  SimulatedPipeline pipeline = simulated(plan, /*measure_parts=*/false);
  pipeline.stage_s.assign(plan.stages.size(), plan.stage_options.sleep_s);
  pipeline.deviation = plan.stage_options.sleep_deviation;
  return 1 / simulate(pipeline, options.steps - uncounted_steps, uncounted_steps).step_s;
}

void compare(const Options& options) {
  const std::vector<Variant> variants{
      {.workers = 4, .stages = 4},
      {.workers = 4, .stages = 5},
      {.workers = 8, .stages = 8},
      {.workers = 8, .stages = 8, .deviation = 0.1},
      {.workers = 8, .stages = 11, .deviation = 0.1},
      {.workers = 4, .stages = 4, .snapshots = "{policy: lag, lag: 0}", .mlaan = "{window: 2}"},
      {.workers = 4, .stages = 4, .snapshots = "{policy: lag, lag: 2}", .mlaan = "{window: 2}"},
      end_to_end(2, "gpipe"),
      end_to_end(4, "gpipe"),
      end_to_end(8, "gpipe"),
      end_to_end(2, "1f1b"),
      end_to_end(4, "1f1b"),
      end_to_end(8, "1f1b"),
      end_to_end(4, "2bw"),
  };
  for (const Variant& variant : variants) {
    if (!options.schedule.empty() && options.schedule != variant.schedule) continue;
    const RunPlan plan = plan_for(options, variant);
    const RunSummary summary = run(plan, {.mode = RunMode::bench}).value();
    const double real = summary.images_per_s / static_cast<double>(plan.config.train.batch);
    const double expected = simulated_steps_per_s(options, plan);
    fmt::print(
        "{}: {} workers, {} stages, jitter {:.2f}, mlaan {}, snapshots {}: {:.3f} steps/s, {:.4f} of "
        "1/(slowest worker), simulated {:.3f}, ratio {:.4f}\n",
        variant.schedule, variant.workers, variant.stages, variant.deviation, variant.mlaan,
        variant.snapshots, real, summary.pipeline_efficiency, expected, real / expected);
  }
}

void add_options(CLI::App& app, Options& options) {
  app.add_option("--steps", options.steps)->check(CLI::Range(10, 1000000))->capture_default_str();
  app.add_option("--sleep-ms", options.sleep_ms)->capture_default_str();
  app.add_option("--schedule", options.schedule, "only the variants of this one");
}

}  // namespace
}  // namespace lamina

int main(int argc, char** argv) {
  return lamina::benchmark_main<lamina::Options>(argc, argv, "Sleeping workers beside the simulation of them",
                                                 lamina::add_options, lamina::compare);
}
