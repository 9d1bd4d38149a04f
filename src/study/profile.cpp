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

StageProbe::~StageProbe() {
  if (step_is_open_) std::ranges::for_each(rounds_.drain, [this](const Action& action) { perform(action); });
}

const std::vector<Action>& StageProbe::actions() const {
  return step_is_open_ ? rounds_.next : rounds_.first;
}

std::size_t StageProbe::num_actions() const {
  return std::max<std::size_t>(1, actions().size());
}

double StageProbe::step_s() {
  const Stopwatch watch;
  for (std::size_t action = 0, count = num_actions(); action < count; ++action) act(action);
  wait_for(stage_.device());
  return watch.elapsed_s();
}

double StageProbe::act_s(std::size_t action) {
  const Stopwatch watch;
  act(action);
  wait_for(stage_.device());
  return watch.elapsed_s();
}

void StageProbe::act(std::size_t action) {
  if (actions().empty()) {
    stage_.process(packet_);
    return;
  }
  const bool is_last = action + 1 == num_actions();
  perform(actions()[action]);
  if (is_last) step_is_open_ = rounds_.leaves_open();
}

void StageProbe::perform(const Action& action) {
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

std::vector<double> StageProbe::step_in_turn_s(std::deque<StageProbe>& probes) {
  std::vector<double> seconds(probes.size(), 0.0);
  const StageProbe& one = probes.front();
  if (!one.stage_.device().is_cpu()) {
    std::ranges::transform(probes, seconds.begin(), &StageProbe::step_s);
    return seconds;
  }
  const std::vector<Action>& actions = one.actions();
  for (std::size_t action = 0, count = one.num_actions(); action < count; ++action) {
    const bool backward = !actions.empty() && actions[action].op == Op::backward;
    for (std::size_t turn = 0; turn < probes.size(); ++turn) {
      const std::size_t i = backward ? probes.size() - 1 - turn : turn;
      seconds[i] += probes[i].act_s(action);
    }
  }
  return seconds;
}

std::vector<double> measure_stage(Stage& stage, const RunPlan& plan, int repeats) {
  StageProbe probe(stage, plan);
  for (int i = 0; i < StageProbe::warmup_steps; ++i) probe.step_s();
  std::vector<double> seconds(static_cast<std::size_t>(repeats));
  std::generate(seconds.begin(), seconds.end(), [&] { return probe.step_s(); });
  return seconds;
}

}  // namespace lamina
