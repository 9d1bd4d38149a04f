#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lamina/pipeline/worker.hpp"
#include "lamina/train/run_plan.hpp"

namespace lamina {

/// What a run is for.
enum class RunMode {
  train,   ///< writes checkpoints, metrics and a summary under config.out
  resume,  ///< the same, going on from the newest checkpoint there, if any
  eval,    ///< evaluates `checkpoint` and writes nothing
  bench,   ///< trains, and writes nothing
};

struct RunOptions {
  RunMode mode = RunMode::train;
  /// Whether the run has a directory.
  bool writes() const { return mode == RunMode::train || mode == RunMode::resume; }
  std::string checkpoint{};  ///< of RunMode::eval
  std::function<bool()> stop_requested = [] {
    return false;
  };  ///< asked by the first stage before every packet
  std::function<bool()> checkpoint_requested = [] { return false; };  ///< by worker 0; true asks for one
  /// Measures a stage while every other worker waits; called for each stage before and after the stream.
  std::function<double(Stage&)> measure_alone{};
  /// Writes what every worker did to this file, as a Chrome trace (trace.hpp).
  std::string trace{};
  /// Every worker has a snapshot board of its own, and snapshots travel as between processes, though the
  /// workers are threads of this one: for tests and benchmarks of that way.
  bool snapshots_over_tcp = false;
  /// Where others reach a worker's snapshot exchange, given the address that it listens on; unset: there.
  std::function<std::string(const std::string&)> snapshot_address{};
};

/// Where a worker computes.
struct WorkerPlace {
  std::string host;
  std::string device;      ///< "cpu", or e.g. "cuda:1 (0000:81:00.0)"
  int numa_node = -1;      ///< beside that GPU; -1: none, or unknown
  std::string processors;  ///< that it may run on, e.g. "0-3,8"
  bool bound = false;      ///< to them, by pipeline.bind
};

/// What a worker's checkpoints have cost it.
struct CheckpointCost {
  std::int64_t written = 0;  ///< of which this worker's part is on the disk
  std::int64_t waits = 0;    ///< stages that waited at a mark, while the checkpoint before was being written
  double wait_s = 0;         ///< seconds that they waited
  double write_s = 0;        ///< seconds that writing took, beside the training
  std::int64_t mirror_failures = 0;  ///< copies to checkpoint.mirror that came to nothing; the sink's
};

/// What asked for a stop before the last step.
enum class StopReason { none, signal, stop_before, stop_file, early_stop };

/// What one worker tells at the end.
struct WorkerReport {
  int worker = 0;
  int pid = 0;
  WorkerPlace place;
  std::vector<int> stages;
  Account account;
  std::vector<double> alone_s;  ///< by stage: the mean of what RunOptions::measure_alone found
  double peak_rss_mib = 0;
  double peak_device_mib = 0;        ///< of tensors on a GPU
  std::int64_t parameters_made = 0;  ///< numbers in the parameters that this process has allocated
  std::int64_t broken_images = 0;    ///< that could not be read and were replaced (data.broken: skip)
  CheckpointCost checkpoints{};
  StopReason stopped_by = StopReason::none;  ///< what this worker was asked by
};

/// What a run comes to.
struct RunSummary {
  bool complete = false;                     ///< false: stopped before its last step
  StopReason stopped_by = StopReason::none;  ///< none: complete
  std::int64_t step = 0;
  double test_accuracy = -1;  ///< of the last evaluation, in [0,1]; -1: none
  double test_loss = 0;
  double images_per_s = 0;         ///< steady training throughput, evaluations aside
  double pipeline_efficiency = 0;  ///< slowest worker's compute a step / seconds a step
  double seconds = 0;
  std::vector<double> stage_seconds;  ///< mean compute a training step, by stage
  std::string params_sha256;
  std::int64_t rollbacks = 0;  ///< that the run has made, also before a resume
  std::vector<WorkerReport> workers;
};

/// Runs the plan: as threads of this process, or as this process's worker of an MPI job.
///
/// Returns   the summary, in the process that runs the last stage; nothing elsewhere.
/// Blocking  until the stream has ended everywhere.
/// Errors    the error that began it, with its worker's name. Under MPI it is printed and ends the whole job
/// with
///           its exit code, so that run() does not return.
std::optional<RunSummary> run(const RunPlan& plan, const RunOptions& options);

}  // namespace lamina
