#include "lamina/study/bench.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "lamina/core/process.hpp"
#include "lamina/study/profile.hpp"
#include "lamina/train/reporter.hpp"

namespace lamina {
namespace {

// Training steps alone: one short evaluation at the end is all that a stream must have.
RunPlan stream_only(RunPlan plan, int steps) {
  TrainConfig& train = plan.config.train;
  train.max_steps = steps + uncounted_steps;
  train.epochs = 1'000'000;
  train.eval_every_steps = train.max_steps;
  plan.config.data.test_limit = 2;
  plan.config.checkpoint.every_steps = 0;
  return plan;
}

double sum(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

std::optional<BenchResult> run_once(const RunPlan& plan, const BenchOptions& options,
                                    const std::string& trace) {
  RunOptions run_options{.mode = RunMode::bench, .trace = trace};
  // The mean, as the stream's rate is one: a median would not count the machine's other work on this side
  // alone.
  run_options.measure_alone = [&](Stage& stage) {
    return sum(measure_stage(stage, plan, options.alone_repeats)) / options.alone_repeats;
  };
  std::optional<RunSummary> summary = run(stream_only(plan, options.steps), run_options);
  if (!summary) return std::nullopt;
  BenchResult result{.workers = plan.num_workers(),
                     .images_per_s = summary->images_per_s,
                     .stage_seconds = std::vector<double>(plan.stages.size()),
                     .reports = std::move(summary->workers)};
  for (const WorkerReport& report : result.reports) {
    result.slowest_worker_s = std::max(result.slowest_worker_s, sum(report.alone_s));
    if (plan.replica_of(report.worker).index > 0) continue;
    for (std::size_t i = 0; i < report.stages.size(); ++i)
      result.stage_seconds[report.stages[i]] = report.alone_s[i];
  }
  result.efficiency =
      result.images_per_s * result.slowest_worker_s / static_cast<double>(plan.config.train.batch);
  return result;
}

BenchResult middle(std::vector<BenchResult> results) {
  const auto middle = results.begin() + (results.size() - 1) / 2;
  std::ranges::nth_element(results, middle, {}, &BenchResult::images_per_s);
  return *middle;
}

Spread spread_of(const std::vector<BenchResult>& results, double BenchResult::* figure) {
  std::vector<double> figures;
  for (const BenchResult& result : results) figures.push_back(result.*figure);
  return spread(std::move(figures));
}

double speedup(const BenchReport& report) {
  return report.pipeline.images_per_s / report.one_worker->images_per_s;
}

// What the pipeline could gain at most over one worker: its whole work / its slowest worker's.
double ideal_speedup(const BenchReport& report) {
  return sum(report.pipeline.stage_seconds) / report.pipeline.slowest_worker_s;
}

std::vector<std::pair<const char*, double>> categories(const Account& account) {
  std::vector<std::pair<const char*, double>> all;
  for (std::size_t i = 0; i < activity_names.size(); ++i)
    all.emplace_back(activity_names[i].title, account.seconds[i]);
  all.emplace_back("unaccounted", account.unaccounted_s());
  return all;
}

}  // namespace

std::optional<BenchReport> bench(const RunPlan& plan, const RunPlan* one_worker,
                                 const BenchOptions& options) {
  std::vector<BenchResult> pipeline, single;
  for (int round = 0; round < (plan.over_mpi ? 1 : options.rounds); ++round) {
    if (auto result = run_once(plan, options, options.trace)) pipeline.push_back(*result);
    if (one_worker)
      if (auto result = run_once(*one_worker, options, /*trace=*/"")) single.push_back(*result);
  }
  if (pipeline.empty()) return std::nullopt;
  BenchReport report{.pipeline = middle(pipeline),
                     .images_per_s = spread_of(pipeline, &BenchResult::images_per_s),
                     .efficiency = spread_of(pipeline, &BenchResult::efficiency),
                     .one_worker = {}};
  if (!single.empty()) report.one_worker = middle(std::move(single));
  return report;
}

std::string to_table(const BenchReport& report) {
  const BenchResult& p = report.pipeline;
  std::string text = fmt::format(
      "{} worker(s): {:.1f} images/s ({:.1f} to {:.1f}), pipeline efficiency {:.3f} ({:.3f} to {:.3f}) of "
      "1/(slowest worker)\n",
      p.workers, p.images_per_s, report.images_per_s.lowest, report.images_per_s.highest, p.efficiency,
      report.efficiency.lowest, report.efficiency.highest);
  for (std::size_t s = 0; s < p.stage_seconds.size(); ++s)
    text += fmt::format("  stage {:<3} {:8.2f} ms a step by itself\n", s, 1e3 * p.stage_seconds[s]);
  for (const WorkerReport& worker : p.reports) {
    text += fmt::format("  worker {:<2} {:8.2f} s:", worker.worker, worker.account.total_s);
    for (const auto& [name, seconds] : categories(worker.account))
      text += fmt::format("  {} {:.2f} %", name, 100 * seconds / worker.account.total_s);
    text += fmt::format("  peak {:.0f} MiB", worker.peak_rss_mib);
    if (worker.peak_device_mib > 0) text += fmt::format(", of the GPU {:.0f} MiB", worker.peak_device_mib);
    text += '\n';
  }
  if (report.one_worker)
    text +=
        fmt::format("1 worker: {:.1f} images/s; speed-up {:.3f}, of {:.3f} possible with this cut ({:.3f})\n",
                    report.one_worker->images_per_s, speedup(report), ideal_speedup(report),
                    speedup(report) / ideal_speedup(report));
  return text;
}

std::string to_json_text(const BenchReport& report, const std::vector<ModuleMemory>& memory) {
  using Json = nlohmann::json;
  const BenchResult& p = report.pipeline;
  Json json = {{"images_per_s", p.images_per_s},
               {"images_per_s_lowest", report.images_per_s.lowest},
               {"images_per_s_highest", report.images_per_s.highest},
               {"pipeline_efficiency", p.efficiency},
               {"pipeline_efficiency_lowest", report.efficiency.lowest},
               {"pipeline_efficiency_highest", report.efficiency.highest},
               {"stage_seconds", p.stage_seconds},
               {"slowest_worker_seconds", p.slowest_worker_s}};
  for (const WorkerReport& worker : p.reports) {
    Json account;
    for (const auto& [name, seconds] : categories(worker.account))
      account[name] = seconds / worker.account.total_s;
    json["workers"].push_back({{"host", worker.place.host},
                               {"stages", worker.stages},
                               {"share_of_time", account},
                               {"peak_rss_mib", worker.peak_rss_mib},
                               {"peak_device_mib", worker.peak_device_mib}});
    json["peak_rss_mib"].push_back(worker.peak_rss_mib);
  }
  for (const ModuleMemory& module : memory)
    json["memory"].push_back({{"stage", module.stage},
                              {"module", module.module},
                              {"shadow", module.shadow},
                              {"peak_mib", static_cast<double>(module.peak_bytes) / mib}});
  if (report.one_worker)
    json["one_worker"] = {{"images_per_s", report.one_worker->images_per_s},
                          {"speedup", speedup(report)},
                          {"possible", ideal_speedup(report)}};
  return json.dump(2) + "\n";
}

}  // namespace lamina
