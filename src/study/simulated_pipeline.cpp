#include "lamina/study/simulated_pipeline.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "lamina/core/error.hpp"
#include "lamina/pipeline/end_to_end_schedule.hpp"

namespace lamina {
namespace {

double bytes_of(const LaneSpec& lane) {
  double bytes = 0;
  for (const LaneTensor& tensor : lane.tensors)
    bytes += static_cast<double>(c10::multiply_integers(tensor.sizes)) *
             static_cast<double>(c10::elementSize(tensor.dtype));
  return bytes;
}

double bytes_of(const std::vector<at::Tensor>& tensors) {
  return std::accumulate(tensors.begin(), tensors.end(), 0.0, [](double sum, const at::Tensor& tensor) {
    return sum + static_cast<double>(tensor.nbytes());
  });
}

constexpr double recomputed_forward_share = 1.0 / 4;  // where a backward takes two forwards and one more

// Streaming never hangs; of the others NCCL's queue does not take all.
void require_carrier(const SimulatedPipeline& pipeline) {
  if (pipeline.schedule.name == "streaming" || pipeline.how.carrier != Carrier::nccl) return;
  try {
    require_no_deadlock(pipeline.schedule, pipeline.how);
  } catch (const Error& error) {
    throw Error(ErrorKind::config,
                fmt::format("pipeline.transport: nccl cannot carry this schedule: {}", error.what()));
  }
}

// Groups of replicas, each with a stage of its own or with several.
std::vector<WorkerGroup> chain_groups(const PipelineConfig& config, int& num_stages) {
  const std::int64_t workers = config.workers.value_or(1);
  std::vector<std::int64_t> replicas;
  if (const auto* list = std::get_if<std::vector<std::int64_t>>(&config.replicas)) {
    replicas = *list;
  } else {
    const std::int64_t each =
        config.schedule == "data_parallel" ? workers : std::get<std::int64_t>(config.replicas);
    if (each < 1 || workers % each != 0)
      throw Error(ErrorKind::config, fmt::format("pipeline.replicas: expected a divisor of the {} worker(s), "
                                                 "found {}",
                                                 workers, each));
    replicas.assign(static_cast<std::size_t>(workers / each), each);
  }
  if (std::accumulate(replicas.begin(), replicas.end(), std::int64_t{0}) != workers ||
      *std::min_element(replicas.begin(), replicas.end()) < 1)
    throw Error(ErrorKind::config,
                fmt::format("pipeline.replicas: expected positive numbers that add up to the {} worker(s), "
                            "found [{}]",
                            workers, fmt::join(replicas, ", ")));
  const auto num_groups = static_cast<std::int64_t>(replicas.size());
  const auto* wanted = std::get_if<std::int64_t>(&config.stages);
  const std::int64_t stages = wanted && *wanted > 1 ? *wanted : num_groups;
  if (!wanted || stages < num_groups)
    throw Error(ErrorKind::config,
                fmt::format("pipeline.stages: expected a number, at least the {} groups of workers, found {}",
                            num_groups, wanted ? fmt::format("{}", stages) : "a list"));
  num_stages = static_cast<int>(stages);
  if (deals_stages_out(config.schedule)) return interleaved_groups(num_stages, replicas);
  std::vector<int> first;
  for (std::int64_t group = 0; group <= num_groups; ++group)
    first.push_back(static_cast<int>(stages * group / num_groups));
  return make_groups(first, replicas);
}

}  // namespace

void ChainConfig::visit(FieldVisitor& v) {
  v.section("pipeline", pipeline);
  v.section("snapshots", snapshots);
}

SimulatedPipeline make_chain(const ChainConfig& config, const ChainTraffic& traffic) {
  int num_stages = 0;
  const std::vector<WorkerGroup> groups = chain_groups(config.pipeline, num_stages);
  SimulatedPipeline pipeline{.schedule = make_schedule(config.pipeline.schedule, groups,
                                                       static_cast<int>(config.pipeline.micro_batches))};
  if (config.pipeline.recompute) pipeline.supposed_forward_share = recomputed_forward_share;
  pipeline.how.buffers = static_cast<int>(config.pipeline.buffers);
  if (config.pipeline.transport == "nccl") pipeline.how.carrier = Carrier::nccl;
  SnapshotTraffic& snapshots = pipeline.how.snapshots;
  snapshots.policy = resolve_policy(config.snapshots, num_stages, config.pipeline.buffers);
  snapshots.reads.resize(static_cast<std::size_t>(num_stages));
  for (int reader = 0; reader < num_stages; ++reader)
    for (int owner = reader + 1; owner <= std::min(reader + traffic.shadows, num_stages - 1); ++owner) {
      snapshots.reads[static_cast<std::size_t>(reader)].push_back(owner);
      pipeline.part_bytes[{owner, reader}] = traffic.part_bytes;
    }
  for (const ScheduleLane& lane : pipeline.schedule.lanes) {
    const int of = std::max(lane.sender.of, lane.receiver.of);  // a piece of the batch
    pipeline.message_bytes.push_back(traffic.message_bytes / of / pipeline.schedule.micro_batches);
  }
  pipeline.gradient_bytes.assign(static_cast<std::size_t>(num_stages), traffic.gradient_bytes);
  require_carrier(pipeline);
  return pipeline;
}

SimulatedPipeline simulated(const RunPlan& plan, bool measure_parts) {
  SimulatedPipeline pipeline{.schedule = plan.schedule, .how = plan.play_options()};
  if (plan.config.pipeline.recompute) pipeline.supposed_forward_share = recomputed_forward_share;
  for (const LaneSpec& lane : plan.lanes) pipeline.message_bytes.push_back(bytes_of(lane));
  if (!measure_parts) return pipeline;
  const Initializer init = plan.initializer();
  for (const StageSpec& spec : plan.stages) {
    const Stage stage(spec, plan.stage_options, init);
    for (const std::string& part : spec.published)
      for (const StageSpec& reader : plan.stages)
        if (std::ranges::count(reader.shadowed(), part) > 0)
          pipeline.part_bytes[{spec.index, reader.index}] += bytes_of(stage.part_tensors(part));
    double trained = 0;
    for (const Stage::Part& part : stage.parts()) trained += bytes_of(part.module.parameters());
    pipeline.gradient_bytes.push_back(trained);
  }
  return pipeline;
}

double played_step_s(const StagePlan& plan, PipelineConfig pipeline, double bytes_per_s, double deviation) {
  std::vector<std::int64_t> replicas;
  for (const PlannedStage& stage : plan.stages) replicas.push_back(stage.replicas);
  pipeline.stages = static_cast<std::int64_t>(plan.stages.size());
  if (!deals_stages_out(pipeline.schedule)) {
    pipeline.workers = std::accumulate(replicas.begin(), replicas.end(), std::int64_t{0});
    pipeline.replicas = replicas;
  }
  SimulatedPipeline played = make_chain({.pipeline = pipeline}, {});
  for (const PlannedStage& stage : plan.stages) {
    played.stage_s.push_back(stage.seconds * stage.replicas);
    played.forward_share.push_back(stage.forward_share);
  }
  played.deviation = deviation;
  played.links.bytes_per_s = bytes_per_s;
  for (std::size_t i = 0; i < played.schedule.lanes.size(); ++i) {
    const ScheduleLane& lane = played.schedule.lanes[i];
    const PlannedStage& before = plan.stages[static_cast<std::size_t>(lane.stage)];
    const int pieces = std::max(lane.sender.of, lane.receiver.of) * played.schedule.micro_batches;
    played.message_bytes[i] = before.send_s * before.replicas * bytes_per_s / pieces;
  }
  constexpr std::int64_t steps = 500;  // whose mean varies by a part in a thousand or two
  return simulate(played, steps, /*warmup=*/2 * *pipeline.workers + 5).step_s;
}

}  // namespace lamina
