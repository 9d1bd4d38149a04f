#include "lamina/study/profile.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "lamina/core/clock.hpp"

namespace lamina {
namespace {

constexpr double made_up_deviation = 0.05;  // of shadows, that nobody publishes here

// What one of the stage's replicas gets.
Packet made_up_packet(const Stage& probed, const RunPlan& plan) {
  const StageSpec& stage = probed.spec();
  const FeatureShape& in = stage.modules.front().in;
  const FeatureShape& image = plan.data.shape;
  const Replica last = plan.replica_of(plan.owners_of(stage.index).workers().back());
  const std::int64_t batch = share_of(plan.config.train.batch, last).count();
  Packet packet{.batch = batch};
  packet.x_BCHW =
      at::randn({batch, in.channels, in.height, in.width}).contiguous(plan.format()).to(probed.device());
  packet.y_B = at::zeros({batch}, at::TensorOptions(at::kLong).device(probed.device()));
  if (stage.needs_image())
    packet.image_BCHW =
        at::randint(256, {batch, image.channels, image.height, image.width}, at::kByte).to(probed.device());
  return packet;
}

}  // namespace

StageProbe::StageProbe(Stage& stage, const RunPlan& plan)
    : stage_(stage), packet_(made_up_packet(stage, plan)) {
  for (const auto& [part, tensors] : stage_.shadows())
    for (const at::Tensor& tensor : tensors) tensor.normal_(0, made_up_deviation);
}

double StageProbe::step_s() {
  const Stopwatch watch;
  stage_.process(packet_);
  return watch.elapsed_s();
}

std::vector<double> measure_stage(Stage& stage, const RunPlan& plan, int repeats) {
  StageProbe probe(stage, plan);
  for (int i = 0; i < StageProbe::warmup_steps; ++i) probe.step_s();
  std::vector<double> seconds(static_cast<std::size_t>(repeats));
  std::generate(seconds.begin(), seconds.end(), [&] { return probe.step_s(); });
  return seconds;
}

}  // namespace lamina
