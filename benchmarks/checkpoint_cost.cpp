#include <fmt/format.h>

#include <algorithm>

#include "benchmark_main.hpp"
#include "lamina/study/spread.hpp"
#include "lamina/train/engine.hpp"
#include "temporary_directory.hpp"
#include "train/plan_of.hpp"

// What checkpoints cost a run: the same steps with them and without, by turns.

namespace lamina {
namespace {

struct Options {
  std::string backbone = "resnet32";
  int modules = 4;
  int workers = 2;
  int batch = 128;
  int steps = 60;
  int every = 10;
  int rounds = 7;
};

struct Found {
  double seconds = 0;            // of the stream, evaluation and last checkpoint included
  double in_the_way_s = 0;       // of the worker that marks have kept longest
  double beside_s = 0;           // of the worker whose writing took longest
  std::int64_t checkpoints = 0;  // with the last one
  std::int64_t waits = 0;
};

Found run_once(const Options& options, int every) {
  const TemporaryDirectory directory;
  const RunPlan plan =
      plan_of(fmt::format("model: {{backbone: {}}}\npartition: {{modules: {}}}\nmethod: {{framework: dgl}}\n"
                          "pipeline: {{stages: {}, workers: {}, threads: 1}}\n"
                          "data: {{name: synthetic, test_limit: 16}}\n"
                          "train: {{batch: {}, max_steps: {}, epochs: 1000, eval_every_steps: {}}}\n"
                          "checkpoint: {{every_steps: {}}}\nout: {}\n",
                          options.backbone, options.modules, options.workers, options.workers, options.batch,
                          options.steps, options.steps, every, (directory.path() / "run").string()));
  const RunSummary summary = run(plan, {}).value();
  Found found{.seconds = summary.seconds};
  for (const WorkerReport& worker : summary.workers) {
    found.in_the_way_s = std::max(found.in_the_way_s, worker.account[Activity::checkpoint]);
    found.beside_s = std::max(found.beside_s, worker.checkpoints.write_s);
    found.checkpoints = worker.checkpoints.written;
    found.waits += worker.checkpoints.waits;
  }
  return found;
}

double median(const std::vector<Found>& rounds, double Found::* figure) {
  std::vector<double> values;
  for (const Found& one : rounds) values.push_back(one.*figure);
  return spread(values).median;
}

void compare(const Options& options) {
  std::vector<Found> with, without;
  std::vector<double> ratios;
  for (int round = 0; round < options.rounds; ++round) {
    // Who comes second may find the machine otherwise.
    for (const bool first : {round % 2 == 0, round % 2 != 0})
      (first ? with : without).push_back(run_once(options, first ? options.every : 0));
    ratios.push_back(with.back().seconds / without.back().seconds);
  }
  std::int64_t waits = 0;
  for (const Found& one : with) waits += one.waits;
  const Spread ratio = spread(ratios);
  const double more = static_cast<double>(with.front().checkpoints - without.front().checkpoints);
  const double in_the_way_s =
      (median(with, &Found::in_the_way_s) - median(without, &Found::in_the_way_s)) / more;
  const double beside_s = (median(with, &Found::beside_s) - median(without, &Found::beside_s)) / more;
  const double seconds = median(without, &Found::seconds);
  fmt::print(
      "\n{} in {} stages, {} steps of {}, a checkpoint every {}\n"
      "seconds: {:.3f} with checkpoints, {:.3f} without; the ratio {:.4f} ({:.4f} to {:.4f})\n"
      "a checkpoint keeps its worker {:.2f} ms and is written beside in {:.2f} ms; {} stages waited in {} "
      "runs\n"
      "kept in all: {:.4f} of the time; one each 10 minutes: {:.6f}\n",
      options.backbone, options.workers, options.steps, options.batch, options.every,
      median(with, &Found::seconds), seconds, ratio.median, ratio.lowest, ratio.highest, 1e3 * in_the_way_s,
      1e3 * beside_s, waits, options.rounds, in_the_way_s * more / seconds, (in_the_way_s + beside_s) / 600);
}

void add_options(CLI::App& app, Options& options) {
  app.add_option("--backbone", options.backbone)->capture_default_str();
  app.add_option("--modules", options.modules)->capture_default_str();
  app.add_option("--workers", options.workers, "and stages")->capture_default_str();
  app.add_option("--batch", options.batch)->capture_default_str();
  app.add_option("--steps", options.steps)->capture_default_str();
  app.add_option("--every", options.every, "steps between checkpoints")->capture_default_str();
  app.add_option("--rounds", options.rounds)->capture_default_str();
}

}  // namespace
}  // namespace lamina

int main(int argc, char** argv) {
  return lamina::benchmark_main<lamina::Options>(
      argc, argv, "What checkpoints cost a run, by turns with one that writes none but the last",
      lamina::add_options, lamina::compare);
}
