#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lamina/study/memory.hpp"
#include "lamina/study/spread.hpp"
#include "lamina/train/engine.hpp"

namespace lamina {

/// What a benchmark found of one way to run a plan.
struct BenchResult {
  int workers = 0;
  double images_per_s = 0;
  double slowest_worker_s = 0;        ///< its stages' own time a step, measured while nobody else computed
  double efficiency = 0;              ///< images_per_s * slowest_worker_s / batch
  std::vector<double> stage_seconds;  ///< by stage, measured alone: the mean
  std::vector<WorkerReport> reports;
};

struct BenchOptions {
  int steps = 30;          ///< of the stream, after its warm-up
  int rounds = 3;          ///< repetitions, one under MPI
  int alone_repeats = 10;  ///< steps per measurement of a stage by itself
  std::string trace{};     ///< a file for the trace of the pipeline's last round
};

/// Of several rounds that of median throughput, of an even number the slower of the middle two.
struct BenchReport {
  BenchResult pipeline;
  Spread images_per_s, efficiency;  ///< of the pipeline, over all rounds
  std::optional<BenchResult> one_worker;
};

/// Runs the plan's training stream, and by turns with it the same stages on one worker if `one_worker` is
/// given.
/// @return the report, in the process that runs the last stage; nothing elsewhere.
std::optional<BenchReport> bench(const RunPlan& plan, const RunPlan* one_worker, const BenchOptions& options);

/// For people, and for summary.json, with what measure_memory found.
std::string to_table(const BenchReport& report);
std::string to_json_text(const BenchReport& report, const std::vector<ModuleMemory>& memory);

}  // namespace lamina
