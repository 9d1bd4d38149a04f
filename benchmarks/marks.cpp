#include <fmt/format.h>

#include "benchmark_main.hpp"
#include "lamina/study/spread.hpp"
#include "lamina/train/engine.hpp"
#include "temporary_directory.hpp"
#include "train/plan_of.hpp"

// What evaluations and checkpoints in mid-stream cost a pipeline: the whole run's time with them, beside that
// of a run without, by turns. A pipeline that drained for each would lose a step for every stage but one,
// each time.

namespace lamina {
namespace {

struct Options {
  int stages = 4;
  int steps = 400;
  int eval_every = 50;
  int checkpoint_every = 100;
  int rounds = 5;
  int sleep_ms = 50;
};

double seconds_of(const Options& options, bool with_marks) {
  const TemporaryDirectory directory;
  RunPlan plan = plan_of(
      fmt::format("model: {{backbone: resnet32}}\npartition: {{modules: 8}}\nmethod: {{framework: greedy}}\n"
                  "pipeline: {{stages: {0}, workers: {0}, threads: 1}}\n"
                  "data: {{name: synthetic, test_limit: 2}}\ncheckpoint: {{every_steps: {1}}}\n"
                  "train: {{batch: 2, max_steps: {2}, epochs: 1000, eval_every_steps: {3}}}\nout: {4}\n",
                  options.stages, with_marks ? options.checkpoint_every : 0, options.steps,
                  with_marks ? options.eval_every : options.steps, (directory.path() / "run").string()));
  plan.stage_options.sleep_s = 1e-3 * options.sleep_ms;
  return run(plan, {}).value().seconds;
}

void compare(const Options& options) {
  std::vector<double> ratios;
  for (int round = 0; round < options.rounds; ++round) {
    const bool first = round % 2 == 0;
    const double one = seconds_of(options, first), other = seconds_of(options, !first);
    ratios.push_back(first ? other / one : one / other);
    fmt::print("with marks {:.3f} s, without {:.3f} s\n", first ? one : other, first ? other : one);
  }
  const Spread ratio = spread(ratios);
  fmt::print(
      "{} stages of {} ms, {} steps, evaluation every {}, checkpoints every {}: throughput {:.4f} of that "
      "without ({:.4f} to {:.4f})\n",
      options.stages, options.sleep_ms, options.steps, options.eval_every, options.checkpoint_every,
      ratio.median, ratio.lowest, ratio.highest);
}

void add_options(CLI::App& app, Options& options) {
  app.add_option("--stages", options.stages)->capture_default_str();
  app.add_option("--steps", options.steps)->capture_default_str();
  app.add_option("--eval-every", options.eval_every)->capture_default_str();
  app.add_option("--checkpoint-every", options.checkpoint_every)->capture_default_str();
  app.add_option("--rounds", options.rounds)->capture_default_str();
  app.add_option("--sleep-ms", options.sleep_ms)->capture_default_str();
}

}  // namespace
}  // namespace lamina

int main(int argc, char** argv) {
  return lamina::benchmark_main<lamina::Options>(argc, argv, "What evaluations and checkpoints cost a stream",
                                                 lamina::add_options, lamina::compare);
}
