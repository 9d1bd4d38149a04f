#include "lamina/train/run_plan.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "lamina/core/error.hpp"
#include "lamina/core/log.hpp"
#include "lamina/core/process.hpp"

namespace lamina {
namespace {

std::int64_t resolve_workers(const PipelineConfig& config, const MpiLaunch& launch, std::int64_t num_stages) {
  if (launch.launched) {
    if (config.workers && *config.workers != launch.size)
      throw Error(ErrorKind::config, fmt::format("pipeline.workers: expected {} as mpirun started, found {}",
                                                 launch.size, *config.workers));
    return launch.size;
  }
  return config.workers.value_or(std::min<std::int64_t>(num_stages, usable_processors()));
}

bool resolve_transport(const PipelineConfig& config, const MpiLaunch& launch) {
  if (config.transport == "inprocess" && launch.size > 1)
    throw Error(ErrorKind::config,
                fmt::format("pipeline.transport: inprocess connects threads of one process, but "
                            "mpirun started {} processes",
                            launch.size));
  return config.transport == "mpi" || (config.transport == "auto" && launch.launched);
}

// The host's processors, shared by its workers; never more than this process may use, which mpirun may have
// bound.
std::int64_t resolve_threads(const MpiLaunch& launch, std::int64_t workers) {
  const std::int64_t here = launch.launched ? launch.local_size : workers;
  const std::int64_t fair = static_cast<std::int64_t>(std::thread::hardware_concurrency()) / here;
  return std::max<std::int64_t>(1, std::min<std::int64_t>(fair, usable_processors()));
}

std::vector<LaneSpec> make_lanes(const RunPlan& plan) {
  std::vector<LaneSpec> lanes;
  for (const ScheduleLane& lane : plan.schedule.lanes)
    lanes.push_back(packet_lane(lane.from, lane.to, plan.stages[lane.stage].back().out,
                                plan.config.train.batch, at::kFloat, plan.format(),
                                static_cast<int>(plan.config.pipeline.buffers)));
  return lanes;
}

void apply_e2e(RunConfig& config) {
  if (config.method.framework != "e2e") return;
  if (config.partition.modules.value_or(1) != 1 || !config.partition.ends.empty())
    log_info("method.framework: e2e trains the network as one module; partition is ignored");
  config.partition = {.modules = 1, .ends = {}};
}

}  // namespace

at::MemoryFormat RunPlan::format() const {
  return config.pipeline.memory_format == "contiguous" ? at::MemoryFormat::Contiguous
                                                       : at::MemoryFormat::ChannelsLast;
}

RunPlan make_run_plan(RunConfig config, const MpiLaunch& launch) {
  apply_e2e(config);
  RunPlan plan;
  plan.data = data_traits(config.data);
  if (config.model.classes == 0) config.model.classes = plan.data.num_classes;
  if (config.model.classes < plan.data.num_classes)
    throw Error(ErrorKind::config,
                fmt::format("model.classes: expected at least {} as {} has, found {}", plan.data.num_classes,
                            config.data.name, config.model.classes));
  plan.backbone = make_backbone(config.model, plan.data.shape, config.model.classes);
  plan.modules =
      make_modules(plan.backbone, cut_into_modules(plan.backbone, config.partition), config.method);
  plan.stages = cut_into_stages(plan.modules, config.pipeline.stages);
  const std::int64_t workers =
      resolve_workers(config.pipeline, launch, static_cast<std::int64_t>(plan.stages.size()));
  plan.first_stage = deal_stages(plan.stages, workers);
  plan.over_mpi = resolve_transport(config.pipeline, launch);
  config.pipeline.workers = workers;
  if (!config.pipeline.threads) config.pipeline.threads = resolve_threads(launch, workers);
  plan.config = std::move(config);
  plan.schedule = streaming_schedule(plan.first_stage);
  play(plan.schedule, 2 * plan.num_workers() + 2, static_cast<int>(plan.config.pipeline.buffers));
  plan.lanes = make_lanes(plan);
  return plan;
}

std::vector<Stage> make_stages(const RunPlan& plan, int worker) {
  const Initializer init(static_cast<std::uint64_t>(plan.config.train.seed), at::kFloat, plan.format());
  std::vector<Stage> stages;
  for (int stage = plan.first_stage[worker]; stage < plan.first_stage[worker + 1]; ++stage)
    stages.emplace_back(stage, plan.stages[stage], plan.config.train.sgd, init);
  return stages;
}

void check_batch_norm(const RunPlan& plan, std::int64_t samples) {
  if (samples != 1) return;
  for (const ModuleSpec& module : plan.modules) {
    if (!normalises_single_values(module.head, module.out)) continue;
    throw Error(
        ErrorKind::config,
        fmt::format("train.batch: head {} of module {} normalises over the samples of a batch and needs at "
                    "least 2, but with {} a step a batch of 1 remains",
                    module.head_name, module.index, plan.config.train.batch));
  }
}

}  // namespace lamina
