#include "lamina/train/single_step.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "checkpoint_format.hpp"
#include "lamina/comm/device.hpp"
#include "lamina/core/error.hpp"
#include "lamina/data/open.hpp"
#include "lamina/pipeline/snapshot_plane.hpp"
#include "run_directory.hpp"

namespace lamina {
namespace {

// Those of `model.init`, over which lie those of the request.
std::shared_ptr<const GivenTensors> all_given(const RunPlan& plan, const StepRequest& request) {
  const std::shared_ptr<const GivenTensors> init = given_weights(plan);
  if (!init || !request.weights) return init ? init : request.weights;
  auto all = std::make_shared<GivenTensors>(*request.weights);
  all->insert(init->begin(), init->end());
  return all;
}

std::vector<Stage> every_stage(const RunPlan& plan, const std::shared_ptr<const GivenTensors>& given,
                               at::ScalarType type) {
  std::vector<Stage> stages;
  for (const WorkerGroup& group : plan.groups)
    for (Stage& stage : make_stages(plan, group.first_worker, given, type))
      stages.push_back(std::move(stage));
  std::sort(stages.begin(), stages.end(),
            [](const Stage& a, const Stage& b) { return a.index() < b.index(); });
  return stages;
}

void check_type(const RunPlan& plan, const StepRequest& request) {
  const PipelineConfig& pipeline = plan.config.pipeline;
  if (request.in_double && (pipeline.precision == "bf16" || pipeline.transfer == "bf16"))
    throw Error(ErrorKind::config,
                fmt::format("a step in double precision: expected pipeline.precision and pipeline.transfer "
                            "fp32, found {} and {}",
                            pipeline.precision, pipeline.transfer));
}

void check_batch(const RunPlan& plan, const StepRequest& request) {
  const FeatureShape& in = plan.backbone.blocks.front().in;
  const at::Tensor& x = request.x_BCHW;
  const at::ScalarType type = request.in_double ? at::kDouble : at::kFloat;
  const bool x_fits = x.dim() == 4 && x.size(0) > 0 && x.size(1) == in.channels && x.size(2) == in.height &&
                      x.size(3) == in.width && x.scalar_type() == type;
  if (!x_fits)
    throw Error(ErrorKind::data, fmt::format("batch: x: expected {} of [B,{},{},{}], found {} of [{}]",
                                             at::toString(type), in.channels, in.height, in.width,
                                             at::toString(x.scalar_type()), fmt::join(x.sizes(), ",")));
  const at::Tensor& y = request.y_B;
  if (y.dim() != 1 || y.size(0) != x.size(0) || y.scalar_type() != at::kLong)
    throw Error(ErrorKind::data, fmt::format("batch: y: expected Long of [{}], found {} of [{}]", x.size(0),
                                             at::toString(y.scalar_type()), fmt::join(y.sizes(), ",")));
  if (y.min().item<std::int64_t>() < 0 || y.max().item<std::int64_t>() >= plan.backbone.num_classes)
    throw Error(ErrorKind::data, fmt::format("batch: y: expected labels in 0..{}, found {} to {}",
                                             plan.backbone.num_classes - 1, y.min().item<std::int64_t>(),
                                             y.max().item<std::int64_t>()));
}

// What the augmentation's last part did to the image, undone.
at::Tensor unnormalised(const at::Tensor& x_BCHW, const Recipe& recipe) {
  const auto wide = [&](const std::vector<double>& values) {
    return at::tensor(values, x_BCHW.options()).view({1, -1, 1, 1});
  };
  return x_BCHW * wide(recipe.std) + wide(recipe.mean);
}

void fill_momentum(const std::vector<Stage>& stages, const GivenTensors& given) {
  const at::NoGradGuard no_grad;
  for (const Stage& stage : stages)
    for (const Stage::Part& part : stage.parts())
      for (const auto& [name, tensor] : checkpoint_tensors(part)) {
        const auto found = given.find(name);
        if (!name.starts_with(momentum_prefix) || found == given.end()) continue;
        check_given("given weights: " + name, found->second, tensor.scalar_type(), tensor.sizes());
        tensor.copy_(found->second);
      }
}

Packet local_step(std::vector<Stage>& stages, SnapshotPlane& plane, Packet packet) {
  const std::int64_t step = packet.step;
  for (Stage& stage : stages) {
    plane.refresh(stage, step);
    packet = stage.process(std::move(packet));
    plane.publish(stage, step + 1);
    plane.finish();
  }
  return packet;
}

// Every schedule that trains end to end comes to this.
Packet end_to_end_step(std::vector<Stage>& stages, const Packet& packet, int micro_batches) {
  Packet whole;
  for (int i = 0; i < micro_batches; ++i) {
    Packet micro = micro_batch(packet, i, micro_batches);
    for (Stage& stage : stages) micro = stage.forward(std::move(micro), i);
    at::Tensor grad_BCHW;
    for (auto stage = stages.rbegin(); stage != stages.rend(); ++stage)
      grad_BCHW = stage->backward(i, std::move(grad_BCHW));
    if (i == 0)
      whole = std::move(micro);
    else
      join_micro_batch(whole, std::move(micro));
  }
  for (Stage& stage : stages) stage.update();
  return whole;
}

void append_losses(TensorList& out, const std::vector<Stage>& stages, const Packet& packet) {
  std::size_t i = 0;
  for (const Stage& stage : stages)
    for (const Stage::Part& part : stage.parts()) {
      const ModuleReport& report = packet.modules.at(i);
      for (std::size_t b = 0; b < report.losses.size(); ++b) {
        const BranchSpec& branch = part.module.spec().branches.at(b);
        const at::Tensor loss = at::full({}, report.losses[b].loss, at::kDouble);
        if (branch.own_weight > 0) out.emplace_back(fmt::format("loss.{}.independent", i), loss);
        if (branch.window_weight > 0) out.emplace_back(fmt::format("loss.{}.cascaded", i), loss);
      }
      ++i;
    }
}

}  // namespace

void check_names(const RunPlan& plan, const GivenTensors& weights) {
  std::set<std::string> known;
  // A module at a time and nothing drawn: only the names are asked for.
  const Initializer blank = Initializer(0).blank();
  for (const ModuleSpec& spec : plan.modules)
    for (const NamedTensor& entry : Module(spec, blank).tensors()) {
      known.insert(entry.name);
      if (entry.trained) known.insert(momentum_prefix + entry.name);
    }
  for (const auto& [name, value] : weights) {
    if (known.contains(name)) continue;
    const auto meant = nearest(name, {known.begin(), known.end()});
    throw Error(ErrorKind::checkpoint,
                fmt::format("given weights: expected tensors of this network, found {}{}", name,
                            meant ? fmt::format("; did you mean {}?", *meant) : ""));
  }
}

TensorList single_step(const RunPlan& plan, const StepRequest& request) {
  require_device(plan.device, plan.devices_needed);
  check_type(plan, request);
  check_batch(plan, request);
  const std::shared_ptr<const GivenTensors> given = all_given(plan, request);
  if (given) check_names(plan, *given);
  std::vector<Stage> stages = every_stage(plan, given, request.in_double ? at::kDouble : at::kFloat);
  if (given) fill_momentum(stages, *given);

  SnapshotPlane plane(plan.snapshots, std::make_shared<SnapshotBoard>(plan.snapshots.depth()), nullptr,
                      Seconds(0), /*publishes=*/true, make_host_copies(plan.device));
  std::map<std::string, at::Tensor> grads;
  for (Stage& stage : stages) {
    plane.publish_first(stage, 0, {});
    stage.observe_gradients(
        [&](const std::string& name, const at::Tensor& grad) { grads[name] = grad.clone(); });
  }
  plane.finish();
  Packet packet;
  for (std::int64_t step = 0; step < request.steps; ++step) {
    packet = {.step = step,
              .lr = plan.config.train.lr,
              .batch = request.x_BCHW.size(0),
              .x_BCHW = request.x_BCHW.contiguous(plan.format()).to(plan.device),
              .y_B = request.y_B.to(plan.device)};
    if (plan.needs_image()) packet.image_BCHW = unnormalised(packet.x_BCHW, data_recipe(plan.config.data));
    packet = plan.is_end_to_end() ? end_to_end_step(stages, packet, plan.schedule.micro_batches)
                                  : local_step(stages, plane, std::move(packet));
  }
  TensorList out;
  append_losses(out, stages, packet);
  for (const auto& [name, grad] : grads) out.emplace_back("grad." + name, grad);
  for (const Stage& stage : stages)
    for (const Stage::Part& part : stage.parts()) {
      const TensorList after = checkpoint_tensors(part);
      out.insert(out.end(), after.begin(), after.end());
    }
  return out;
}

}  // namespace lamina
