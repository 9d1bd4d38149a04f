#include "schedule_choice.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lamina/core/error.hpp"
#include "lamina/core/process.hpp"
#include "lamina/pipeline/end_to_end_schedule.hpp"
#include "lamina/pipeline/stage_cut.hpp"

namespace lamina {
namespace {

template <class... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ErrorKind::config, fmt::format(format, std::forward<Args>(args)...));
}

void check_streaming(const PipelineConfig& config) {
  if (config.micro_batches != 1)
    refuse("pipeline.micro_batches: expected 1 with schedule streaming, which has no use for more, found {}",
           config.micro_batches);
  if (config.recompute)
    refuse("pipeline.recompute: expected false with schedule streaming, which keeps no graphs, found true");
}

void check_end_to_end(const RunConfig& config) {
  const PipelineConfig& pipeline = config.pipeline;
  if (config.method.framework != "e2e")
    refuse("pipeline.schedule: {} trains end to end and expects method.framework e2e, found {}",
           pipeline.schedule, config.method.framework);
  if (config.method.use_mlaan)
    refuse("method.mlaan: expected none with schedule {}, which trains end to end, found a section",
           pipeline.schedule);
  if (config.train.on_nonfinite != "stop")
    refuse(
        "train.on_nonfinite: expected stop with schedule {}, where a stage's gradients come from those "
        "behind it, found {}",
        pipeline.schedule, config.train.on_nonfinite);
  if (pipeline.micro_batches > config.train.batch)
    refuse(
        "pipeline.micro_batches: expected at most as many as a batch has samples, found {} for a batch of {}",
        pipeline.micro_batches, config.train.batch);
}

bool carries_over_nccl(const PipelineConfig& config, const MpiLaunch& launch) {
  return config.transport == "nccl" ||
         (config.transport == "auto" && config.device == "cuda" && launch.launched);
}

// The number of replicas is that of the workers.
void make_all_replicas(PipelineConfig& config, const MpiLaunch& launch) {
  const auto* replicas = std::get_if<std::int64_t>(&config.replicas);
  if (!replicas) refuse("pipeline.replicas: expected a number with schedule data_parallel, found a list");
  const std::int64_t unless_told = *replicas > 1 ? *replicas : usable_processors();
  const std::int64_t workers = launch.launched ? launch.size : config.workers.value_or(unless_told);
  if (*replicas != 1 && *replicas != workers)
    refuse("pipeline.replicas: expected {} with schedule data_parallel, as many as workers, found {}",
           workers, *replicas);
  config.replicas = workers;
  if (!config.workers) config.workers = workers;
}

// NCCL runs a group's calls to eight workers beside each other, further ones behind them (src/README.md).
constexpr int most_workers_of_2bw = 8;

}  // namespace

bool trains_end_to_end(const PipelineConfig& config) {
  return config.schedule != "streaming";
}

void resolve_schedule(RunConfig& config, const MpiLaunch& launch) {
  PipelineConfig& pipeline = config.pipeline;
  if (!trains_end_to_end(pipeline)) return check_streaming(pipeline);
  check_end_to_end(config);
  if (pipeline.schedule == "data_parallel") return make_all_replicas(pipeline, launch);
  if (pipeline.schedule == "interleaved_1f1b" && carries_over_nccl(pipeline, launch))
    refuse(
        "pipeline.schedule: interleaved_1f1b needs lanes that do not hold each other up, as nccl's do; "
        "expected "
        "1f1b, gpipe or 2bw over nccl");
  if (pipeline.schedule == "2bw" && carries_over_nccl(pipeline, launch) && launch.size > most_workers_of_2bw)
    refuse(
        "pipeline.schedule: expected at most {} workers with 2bw over nccl, found {}: NCCL may run one "
        "worker's calls of a "
        "group in another order than the next one's",
        most_workers_of_2bw, launch.size);
}

std::vector<WorkerGroup> group_stages(const PipelineConfig& config,
                                      const std::vector<std::vector<ModuleSpec>>& stages,
                                      const std::vector<std::int64_t>& replicas) {
  if (deals_stages_out(config.schedule)) return interleaved_groups(static_cast<int>(stages.size()), replicas);
  return make_groups(deal_stages(stages, static_cast<std::int64_t>(replicas.size())), replicas);
}

}  // namespace lamina
