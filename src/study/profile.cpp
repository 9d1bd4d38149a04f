#include "lamina/study/profile.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "lamina/comm/device.hpp"
#include "lamina/core/clock.hpp"

namespace lamina {
namespace {

constexpr double made_up_deviation = 0.05;  // of shadows and gradients, that nobody publishes here

// What one of the stage's replicas gets.
Packet made_up_packet(const Stage& probed, const RunPlan& plan) {
  const StageSpec& stage = probed.spec();
  const FeatureShape& in = stage.modules.front().in;
  const FeatureShape& image = plan.data.shape;
  const Replica last = plan.replica_of(plan.owners_of(stage.index).workers().back());
  const std::int64_t batch = share_of(plan.config.train.batch, last).count();
  Packet packet{.batch = batch};
  const bool rounded = plan.stage_options.rounds_output && stage.index > 0;  // by the stage before
  packet.x_BCHW = at::randn({batch, in.channels, in.height, in.width})
                      .contiguous(plan.format())
                      .to(probed.device(), rounded ? at::kBFloat16 : at::kFloat);
  packet.y_B = at::zeros({batch}, at::TensorOptions(at::kLong).device(probed.device()));
  if (stage.needs_image())
    packet.image_BCHW =
        at::randint(256, {batch, image.channels, image.height, image.width}, at::kByte).to(probed.device());
  return packet;
}

// What a worker does with this stage alone.
WorkerRounds rounds_of_stage(int stage, const RunPlan& plan) {
  if (!plan.is_end_to_end()) return {};
  WorkerRounds rounds = worker_rounds(plan.schedule, plan.owners_of(stage).first_worker);
  for (std::vector<Action>* actions : {&rounds.first, &rounds.next, &rounds.drain})
    std::erase_if(*actions, [stage](const Action& action) {
      return action.stage != stage ||
             (action.op != Op::forward && action.op != Op::backward && action.op != Op::update);
    });
  return rounds;
}

}  // namespace

StageProbe::StageProbe(Stage& stage, const RunPlan& plan)
    : stage_(stage),
      packet_(made_up_packet(stage, plan)),
      rounds_(rounds_of_stage(stage.index(), plan)),
      grads_(static_cast<std::size_t>(plan.schedule.micro_batches)) {
  for (const auto& [part, tensors] : stage_.shadows())
    for (const at::Tensor& tensor : tensors) tensor.normal_(0, made_up_deviation);
}

double StageProbe::step_s() {
  const Stopwatch watch;
  if (rounds_.first.empty()) {
    stage_.process(packet_);
  } else {
    perform(step_is_open_ ? rounds_.next : rounds_.first);
    step_is_open_ = rounds_.leaves_open();
  }
  wait_for(stage_.device());
  return watch.elapsed_s();
}

StageProbe::~StageProbe() {
  if (step_is_open_) perform(rounds_.drain);
}

void StageProbe::perform(const std::vector<Action>& actions) {
  for (const Action& action : actions) {
    if (action.op == Op::update) {
      stage_.update();
    } else if (action.op == Op::backward) {
      stage_.backward(action.micro, grads_[action.micro]);
    } else {
      Packet packet = micro_batch(packet_, action.micro, static_cast<int>(grads_.size()));
      packet = stage_.forward(std::move(packet), action.micro);
      at::Tensor& grad_BCHW = grads_[action.micro];
      if (!grad_BCHW.defined()) grad_BCHW = made_up_deviation * at::randn_like(packet.x_BCHW);
    }
  }
}

std::vector<double> measure_stage(Stage& stage, const RunPlan& plan, int repeats) {
  StageProbe probe(stage, plan);
  for (int i = 0; i < StageProbe::warmup_steps; ++i) probe.step_s();
  std::vector<double> seconds(static_cast<std::size_t>(repeats));
  std::generate(seconds.begin(), seconds.end(), [&] { return probe.step_s(); });
  return seconds;
}

}  // namespace lamina
