#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "benchmark_main.hpp"
#include "comm/slow_link.hpp"
#include "lamina/study/spread.hpp"
#include "lamina/train/engine.hpp"
#include "temporary_directory.hpp"
#include "train/plan_of.hpp"
#include "train/train_records.hpp"

// What slow, stalling and awaited snapshots cost a pipeline whose stages sleep a set time instead of
// computing, so that the machine's cores are no limit. Each worker is a thread with a snapshot board of its
// own; snapshots go between them over TCP as between processes, activations through memory.

namespace lamina {
namespace {

using Json = nlohmann::json;

struct Options {
  int stages = 3;
  int steps = 200;
  int rounds = 5;
  int sleep_ms = 50;
  double slow_bytes_per_s = 1e6;
  int stall_s = 5;
};

// One way to run: a policy, the links' rate, and whether they stall in the middle.
struct Variant {
  const char* name;
  const char* policy;
  std::optional<double> bytes_per_s{};
  bool stalls = false;
};

struct Found {
  double steps_per_s = 0;
  double waited_s = 0;
  std::int64_t age_before = 0;  // the largest of a stretch when the stream runs and no link has stalled yet
  std::int64_t age_largest = 0;
  std::int64_t age_at_end = 0;
};

RunPlan plan_for(const Options& options, const Variant& variant, const std::filesystem::path& out) {
  RunPlan plan = plan_of(
      fmt::format("model: {{backbone: resnet32}}\npartition: {{modules: 8}}\n"
                  "method: {{framework: greedy, mlaan: {{window: 3}}}}\n"
                  "pipeline: {{stages: {0}, workers: {0}, threads: 1}}\nsnapshots: {{{1}}}\n"
                  "data: {{name: synthetic, test_limit: 2}}\n"
                  "train: {{batch: 2, max_steps: {2}, epochs: 1000, eval_every_steps: {2}}}\nout: {3}\n",
                  options.stages, variant.policy, options.steps, out.string()));
  plan.stage_options.sleep_s = 1e-3 * options.sleep_ms;
  return plan;
}

// Stalls every link for a while, from the middle of the run on.
std::jthread stall_in_the_middle(const Options& options, SlowLinks& links) {
  return std::jthread([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(options.steps * options.sleep_ms / 2));
    links.stall();
    std::this_thread::sleep_for(std::chrono::seconds(options.stall_s));
    links.resume();
  });
}

Found read_metrics(const std::filesystem::path& run, const Options& options) {
  Found found;
  for (const Json& record : train_records(run)) {
    const auto step = record.at("step").get<int>();
    std::int64_t age = 0;
    for (const Json& of_stage : record.at("snapshot_age")) age = std::max(age, of_stage.get<std::int64_t>());
    for (const Json& of_stage : record.at("snapshot_wait_s")) found.waited_s += of_stage.get<double>();
    if (step >= options.steps / 4 && step < options.steps * 2 / 5)
      found.age_before = std::max(found.age_before, age);
    if (step >= options.steps / 4) found.age_largest = std::max(found.age_largest, age);
    found.age_at_end = age;
  }
  return found;
}

Found run_once(const Options& options, const Variant& variant) {
  const TemporaryDirectory directory;
  const RunPlan plan = plan_for(options, variant, directory.path() / "run");
  SlowLinks links(variant.bytes_per_s);
  RunOptions run_options;
  run_options.snapshots_over_tcp = true;
  run_options.snapshot_address = [&](const std::string& address) { return links.before(address); };
  std::optional<std::jthread> staller;
  if (variant.stalls) staller = stall_in_the_middle(options, links);
  const RunSummary summary = run(plan, run_options).value();
  Found found = read_metrics(plan.config.out, options);
  found.steps_per_s = summary.images_per_s / static_cast<double>(plan.config.train.batch);
  return found;
}

void compare(const Options& options) {
  const std::vector<Variant> variants{
      {"latest", "policy: latest"},
      {"latest, slow links", "policy: latest", options.slow_bytes_per_s},
      {"latest, links that stall", "policy: latest", {}, true},
      {"lag: auto", "policy: lag"},
  };
  std::vector<std::vector<double>> ratios(variants.size());
  std::vector<std::vector<Found>> found(variants.size());
  for (int round = 0; round < options.rounds; ++round)
    for (std::size_t i = 0; i < variants.size(); ++i) {
      found[i].push_back(run_once(options, variants[i]));
      ratios[i].push_back(found[i].back().steps_per_s / found[0].back().steps_per_s);
    }
  fmt::print("\n{} stages that sleep {} ms a step; a snapshot's age may be {} where nothing is held up\n",
             options.stages, options.sleep_ms, 2 * (options.stages - 1) + 2);
  for (std::size_t i = 0; i < variants.size(); ++i) {
    const Spread ratio = spread(ratios[i]);
    Found worst;
    for (const Found& one : found[i]) {
      worst.waited_s = std::max(worst.waited_s, one.waited_s);
      worst.age_before = std::max(worst.age_before, one.age_before);
      worst.age_largest = std::max(worst.age_largest, one.age_largest);
      worst.age_at_end = std::max(worst.age_at_end, one.age_at_end);
    }
    fmt::print(
        "{:<26} throughput {:.4f} of the first ({:.4f} to {:.4f}), waited {:.3f} s, age {} before the "
        "middle, {} at most, {} at the end\n",
        variants[i].name, ratio.median, ratio.lowest, ratio.highest, worst.waited_s, worst.age_before,
        worst.age_largest, worst.age_at_end);
  }
}

void add_options(CLI::App& app, Options& options) {
  app.add_option("--stages", options.stages)->capture_default_str();
  app.add_option("--steps", options.steps)->capture_default_str();
  app.add_option("--rounds", options.rounds)->capture_default_str();
  app.add_option("--sleep-ms", options.sleep_ms)->capture_default_str();
  app.add_option("--slow", options.slow_bytes_per_s, "bytes a second of the slow links")
      ->capture_default_str();
  app.add_option("--stall-s", options.stall_s)->capture_default_str();
}

}  // namespace
}  // namespace lamina

int main(int argc, char** argv) {
  return lamina::benchmark_main<lamina::Options>(
      argc, argv, "What snapshots cost that come late: throughput by turns, and their age",
      lamina::add_options, lamina::compare);
}
