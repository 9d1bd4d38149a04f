#include "lamina/study/profile.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "lamina/comm/device.hpp"
#include "lamina/core/clock.hpp"

namespace lamina {
namespace {

constexpr double made_up_deviation = 0.05;  // of shadows and gradients, that nobody publishes here

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

Packet MadeUpBatches::of(const Stage& stage, const RunPlan& plan) {
  const auto once = [this](at::ScalarType type, const std::vector<std::int64_t>& sizes, const auto& make) {
    at::Tensor& made = made_[{type, sizes}];
    if (!made.defined()) made = make(sizes);
    return made;
  };
  const FeatureShape& in = stage.spec().modules.front().in;
  const FeatureShape& image = plan.data.shape;
  const Replica last = plan.replica_of(plan.owners_of(stage.index()).workers().back());
  const std::int64_t batch = share_of(plan.config.train.batch, last).count();
  const bool rounded = plan.stage_options.rounds_output && stage.index() > 0;  // by the stage before
  const at::ScalarType features = rounded ? at::kBFloat16 : at::kFloat;
  Packet packet{.batch = batch};
  packet.x_BCHW = once(features, {batch, in.channels, in.height, in.width}, [&](at::IntArrayRef sizes) {
    return at::randn(sizes).contiguous(plan.format()).to(stage.device(), features);
  });
  packet.y_B = once(at::kLong, {batch}, [&](at::IntArrayRef sizes) {
    return at::zeros(sizes, at::TensorOptions(at::kLong).device(stage.device()));
  });
  if (stage.spec().needs_image())
    packet.image_BCHW =
        once(at::kByte, {batch, image.channels, image.height, image.width},
             [&](at::IntArrayRef sizes) { return at::randint(256, sizes, at::kByte).to(stage.device()); });
  return packet;
}

StageProbe::StageProbe(Stage& stage, const RunPlan& plan)
    : StageProbe(stage, plan, MadeUpBatches().of(stage, plan)) {}

StageProbe::StageProbe(Stage& stage, const RunPlan& plan, Packet packet)
    : stage_(stage),
      packet_(std::move(packet)),
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

TurnTimes StageProbe::step_in_turn(std::deque<StageProbe>& probes) {
  TurnTimes times{.step_s = std::vector(probes.size(), 0.0), .forward_s = std::vector(probes.size(), 0.0)};
  const StageProbe& one = probes.front();
  if (!one.stage_.device().is_cpu()) {
    std::ranges::transform(probes, times.step_s.begin(), &StageProbe::step_s);
    times.action_s = {std::accumulate(times.step_s.begin(), times.step_s.end(), 0.0)};
    return times;
  }
  const std::vector<Action>& actions = one.actions();
  times.action_s.resize(one.num_actions());
  for (std::size_t action = 0; action < times.action_s.size(); ++action) {
    const Op op = actions.empty() ? Op::compute : actions[action].op;
    for (std::size_t turn = 0; turn < probes.size(); ++turn) {
      const std::size_t i = op == Op::backward ? probes.size() - 1 - turn : turn;
      const double seconds = probes[i].act_s(action);
      times.step_s[i] += seconds;
      times.action_s[action] += seconds;
      if (op == Op::forward) times.forward_s[i] += seconds;
    }
  }
  return times;
}

std::vector<double> measure_stage(Stage& stage, const RunPlan& plan, int repeats) {
  StageProbe probe(stage, plan);
  for (int i = 0; i < StageProbe::warmup_steps; ++i) probe.step_s();
  std::vector<double> seconds(static_cast<std::size_t>(repeats));
  std::generate(seconds.begin(), seconds.end(), [&] { return probe.step_s(); });
  return seconds;
}

}  // namespace lamina
