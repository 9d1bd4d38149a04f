#include "lamina/train/run_plan.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "lamina/comm/device.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/log.hpp"
#include "lamina/core/process.hpp"
#include "lamina/nn/framework.hpp"
#include "lamina/pipeline/end_to_end_schedule.hpp"
#include "schedule_choice.hpp"

namespace lamina {
namespace {

// How many workers hold each group's stages. A list has a group a stage; a number leaves it to the workers
// how the stages are grouped.
std::vector<std::int64_t> resolve_replicas(const PipelineConfig& config, const MpiLaunch& launch,
                                           std::int64_t num_stages) {
  const std::optional<std::int64_t> workers = launch.launched ? launch.size : config.workers;
  if (const auto* list = std::get_if<std::vector<std::int64_t>>(&config.replicas)) {
    if (static_cast<std::int64_t>(list->size()) != num_stages ||
        *std::min_element(list->begin(), list->end()) < 1)
      throw Error(
          ErrorKind::config,
          fmt::format("pipeline.replicas: expected a positive number for each of the {} stages, found [{}]",
                      num_stages, fmt::join(*list, ", ")));
    const std::int64_t needed = std::accumulate(list->begin(), list->end(), std::int64_t{0});
    if (workers.value_or(needed) != needed)
      throw Error(ErrorKind::config,
                  fmt::format("pipeline.workers: expected {}, the sum of pipeline.replicas, found {}", needed,
                              *workers));
    return *list;
  }
  const std::int64_t replicas = std::get<std::int64_t>(config.replicas);
  if (replicas < 1 || workers.value_or(replicas) % replicas != 0)
    throw Error(ErrorKind::config,
                fmt::format("pipeline.replicas: expected a divisor of the {} worker(s), found {}",
                            workers.value_or(1), replicas));
  const std::int64_t one_each =
      std::min<std::int64_t>(num_stages, std::max(1, usable_processors() / static_cast<int>(replicas)));
  return std::vector<std::int64_t>(static_cast<std::size_t>(workers ? *workers / replicas : one_each),
                                   replicas);
}

void check_workers(const PipelineConfig& config, const MpiLaunch& launch) {
  if (launch.launched && config.workers && *config.workers != launch.size)
    throw Error(ErrorKind::config, fmt::format("pipeline.workers: expected {} as mpirun started, found {}",
                                               launch.size, *config.workers));
}

// The transport by its name.
std::string resolve_transport(const PipelineConfig& config, const MpiLaunch& launch) {
  if (config.transport == "inprocess" && launch.size > 1)
    throw Error(ErrorKind::config,
                fmt::format("pipeline.transport: inprocess connects threads of one process, but "
                            "mpirun started {} processes",
                            launch.size));
  const bool on_gpu = config.device == "cuda";
  if (config.transport == "mpi" && on_gpu)
    throw Error(
        ErrorKind::config,
        "pipeline.transport: mpi carries tensors of the CPU only; with pipeline.device: cuda choose nccl");
  if (config.transport != "auto") return config.transport;
  return !launch.launched ? "inprocess" : on_gpu ? "nccl" : "mpi";
}

// What this process may use, shared by the host's workers. That is too little where mpirun has bound them,
// which shows once they see each other's places.
std::int64_t resolve_threads(const MpiLaunch& launch, std::int64_t workers) {
  const std::int64_t here = launch.launched ? launch.local_size : workers;
  return std::max<std::int64_t>(1, usable_processors() / here);
}

// Of a short batch a piece may be a sample larger than of a full one, so where pieces are not whole batches
// there is room for one more.
std::int64_t largest_piece(const RunPlan& plan, const ScheduleLane& lane) {
  const std::int64_t batch = plan.config.train.batch;
  if (lane.stage + 1 < plan.schedule.num_stages && plan.schedule.micro_batches > 1)
    return largest_micro_batch(plan.config);
  const std::int64_t piece = common_share(batch, lane.sender, lane.receiver).count();
  return std::min(batch, piece + 1);
}

constexpr std::size_t header_of_module = 1024;

std::vector<LaneSpec> make_lanes(const RunPlan& plan) {
  std::vector<LaneSpec> lanes;
  for (const ScheduleLane& lane : plan.schedule.lanes) {
    const bool images = std::any_of(plan.stages.begin() + lane.stage + 1, plan.stages.end(),
                                    [](const StageSpec& stage) { return stage.needs_image(); });
    const ModuleSpec& last = plan.stages[lane.stage].modules.back();
    const auto make_lane = lane.gradient ? gradient_lane : packet_lane;
    lanes.push_back(make_lane(lane.from, lane.to,
                              {.features = last.is_last ? FeatureShape{} : last.out,
                               .image = images ? plan.data.shape : FeatureShape{},
                               .batch = largest_piece(plan, lane),
                               .dtype = plan.stage_options.rounds_output ? at::kBFloat16 : at::kFloat,
                               .format = plan.format()},
                              static_cast<int>(plan.config.pipeline.buffers)));
    // The stop mark may carry the notes of two checkpoints, and their digests are most of a header.
    lanes.back().header_capacity =
        std::max(lanes.back().header_capacity, lane.gradient ? 0 : plan.modules.size() * header_of_module);
  }
  return lanes;
}

// AugLocal's own cut follows from its depth; docs/method.md, Heads and losses.
std::vector<std::int64_t> module_ends(const Backbone& backbone, const RunConfig& config) {
  const bool left_open = !config.partition.modules && config.partition.ends.empty();
  if (config.method.framework == "auglocal" && left_open)
    return auglocal_ends(backbone, config.method.auglocal_depth);
  return cut_into_modules(backbone, config.partition);
}

void check_precision(const PipelineConfig& config) {
  if (config.precision == "tf32" && config.device == "cpu")
    throw Error(
        ErrorKind::config,
        "pipeline.precision: tf32 is a format of GPUs; with pipeline.device: cpu expected fp32 or bf16, "
        "found tf32");
}

void apply_e2e(RunConfig& config) {
  if (config.method.framework != "e2e" || trains_end_to_end(config.pipeline)) return;
  if (config.partition.modules.value_or(1) != 1 || !config.partition.ends.empty())
    log_info("method.framework: e2e trains the network as one module; partition is ignored");
  config.partition = {.modules = 1, .ends = {}};
}

}  // namespace

at::MemoryFormat RunPlan::format() const {
  return config.pipeline.memory_format == "contiguous" ? at::MemoryFormat::Contiguous
                                                       : at::MemoryFormat::ChannelsLast;
}

PlayOptions RunPlan::play_options() const {
  return {.buffers = static_cast<int>(config.pipeline.buffers),
          .carrier = over_nccl ? Carrier::nccl : Carrier::separate_lanes,
          .snapshots = {.policy = snapshots, .reads = shadowed_stages(stages)}};
}

RunPlan make_run_plan(RunConfig config, const MpiLaunch& launch) {
  resolve_schedule(config, launch);
  apply_e2e(config);
  check_precision(config.pipeline);
  RunPlan plan;
  plan.data = data_traits(config.data);
  if (config.model.classes == 0) config.model.classes = plan.data.num_classes;
  if (config.model.classes < plan.data.num_classes)
    throw Error(ErrorKind::config,
                fmt::format("model.classes: expected at least {} as {} has, found {}", plan.data.num_classes,
                            config.data.name, config.model.classes));
  plan.backbone = make_backbone(config.model, plan.data.shape, config.model.classes);
  plan.modules = make_modules(plan.backbone, module_ends(plan.backbone, config), config.method);
  const MlaanConfig mlaan = resolve_mlaan(config.method);
  plan.stage_options = {
      .sgd = config.train.sgd,
      .window = mlaan.window,
      .ema_momentum = mlaan.momentum,
      .precision = precision_of(config.pipeline.precision),
      .clip_grad_norm = config.train.clip_grad_norm,
      .on_nonfinite = config.train.on_nonfinite == "skip" ? OnNonfinite::skip : OnNonfinite::stop,
      .max_skips = config.train.max_skips,
      .rounds_output = config.pipeline.transfer == "bf16"};
  if (trains_end_to_end(config.pipeline)) {
    plan.stage_options.micro_batches = static_cast<int>(config.pipeline.micro_batches);
    plan.stage_options.recompute = config.pipeline.recompute;
    plan.stage_options.two_versions = config.pipeline.schedule == "2bw";
  }
  const auto cut = cut_into_stages(plan.modules, config.pipeline.stages);
  const auto num_stages = static_cast<std::int64_t>(cut.size());
  if (config.method.compat == "release" && num_stages > 1)
    throw Error(ErrorKind::config,
                fmt::format("method.compat: release trains its first modules through later ones' "
                            "windows and needs one stage, found {} stages",
                            num_stages));
  if (config.method.compat == "release" && config.train.on_nonfinite == "skip")
    throw Error(ErrorKind::config,
                "train.on_nonfinite: skip holds a stage's updates back to the step's end, and method.compat: "
                "release updates averages before it; expected stop, found skip");
  plan.stages = make_stage_specs(cut, mlaan.window, mlaan.looks_ahead());
  plan.snapshots = resolve_policy(config.snapshots, num_stages, config.pipeline.buffers);
  if (config.snapshots.policy == "lag") config.snapshots.lag = plan.snapshots.lag;
  check_workers(config.pipeline, launch);
  const std::vector<std::int64_t> replicas = resolve_replicas(config.pipeline, launch, num_stages);
  if (const std::int64_t most = *std::max_element(replicas.begin(), replicas.end());
      most > config.train.batch)
    throw Error(
        ErrorKind::config,
        fmt::format("pipeline.replicas: expected at most as many as a batch has samples, found {} for a "
                    "batch of {}",
                    most, config.train.batch));
  plan.groups = group_stages(config.pipeline, cut, replicas);
  const std::int64_t workers = plan.num_workers();
  if (config.method.compat == "release" && workers > 1)
    throw Error(
        ErrorKind::config,
        fmt::format("method.compat: release updates averages while a step is under way, which replicas "
                    "do not, and needs one worker, found {}",
                    workers));
  const std::string transport = resolve_transport(config.pipeline, launch);
  plan.over_nccl = transport == "nccl";
  plan.over_mpi = transport != "inprocess";
  if (config.pipeline.device == "cuda") plan.device = device_of_rank(at::kCUDA, launch.local_rank);
  plan.devices_needed = plan.over_mpi ? launch.local_size : 1;
  config.pipeline.workers = workers;
  plan.auto_threads = !config.pipeline.threads;
  if (plan.auto_threads) config.pipeline.threads = resolve_threads(launch, workers);
  plan.config = std::move(config);
  plan.schedule = make_schedule(plan.config.pipeline.schedule, plan.groups,
                                static_cast<int>(plan.config.pipeline.micro_batches));
  require_no_deadlock(plan.schedule, plan.play_options());
  plan.lanes = make_lanes(plan);
  return plan;
}

const WorkerGroup& RunPlan::group_of(int worker) const {
  return *std::find_if(groups.begin(), groups.end(), [&](const WorkerGroup& g) { return g.holds(worker); });
}

const WorkerGroup& RunPlan::owners_of(int stage) const {
  return *std::find_if(groups.begin(), groups.end(), [&](const WorkerGroup& g) { return g.owns(stage); });
}

Replica RunPlan::replica_of(int worker) const {
  const WorkerGroup& group = group_of(worker);
  return {worker - group.first_worker, group.replicas};
}

bool RunPlan::needs_image() const {
  return std::any_of(stages.begin(), stages.end(),
                     [](const StageSpec& stage) { return stage.needs_image(); });
}

const StageSpec& RunPlan::owner_of(const std::string& part) const {
  for (const StageSpec& stage : stages)
    if (std::find(stage.published.begin(), stage.published.end(), part) != stage.published.end())
      return stage;
  throw Error(ErrorKind::contract, fmt::format("expected a stage that publishes {}, found none", part));
}

Initializer RunPlan::initializer(at::ScalarType dtype, std::shared_ptr<const GivenTensors> given) const {
  return Initializer(static_cast<std::uint64_t>(config.train.seed), dtype, format(), std::move(given))
      .on(device);
}

std::vector<Stage> make_stages(const RunPlan& plan, int worker, std::shared_ptr<const GivenTensors> given,
                               at::ScalarType dtype) {
  const Initializer init = plan.initializer(dtype, std::move(given));
  std::vector<Stage> stages;
  const WorkerGroup& group = plan.group_of(worker);
  for (const int stage : group.stages()) stages.emplace_back(plan.stages[stage], plan.stage_options, init);
  return stages;
}

void check_batch_norm(const RunPlan& plan, std::int64_t samples) {
  for (const StageSpec& stage : plan.stages) {
    const std::int64_t replicas = plan.owners_of(stage.index).replicas;
    if (samples / replicas != 1) continue;
    for (const ModuleSpec& module : stage.modules)
      for (const BranchSpec& branch : module.branches) {
        if (!normalises_single_values(branch.head, branch.head_in())) continue;
        throw Error(
            ErrorKind::config,
            fmt::format("train.batch: head {} of module {} normalises over the samples of a batch and "
                        "needs at least 2, but with {} a step and {} replica(s) a batch of 1 remains",
                        branch.head.name, module.index, plan.config.train.batch, replicas));
      }
  }
}

}  // namespace lamina
