#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "lamina/core/clock.hpp"
#include "lamina/core/error.hpp"
#include "lamina/pipeline/stage.hpp"
#include "pending_losses.hpp"

// A stage that trains end to end: the forwards and backwards of micro-batches, and the step behind them.
namespace lamina {
namespace {

constexpr double forward_share = 1.0 / 3;  // of a step that sleeps; a backward takes twice as long

}  // namespace

Packet Stage::forward(Packet packet, int micro) {
  const Stopwatch watch;
  const PrecisionScope scope(options_.precision, device().type());
  if (micro == 0) ++steps_begun_;
  if (micro == 0 && module_observer_) module_observer_(spec_.modules.front().index, /*shadow=*/false);
  Open open{
      .micro = micro, .step = packet.step, .lr = packet.lr, .input_BCHW = arriving(std::move(packet.x_BCHW))};
  const at::Tensor no_features =
      at::empty({open.input_BCHW.size(0), 0, 1, 1}, open.input_BCHW.options().dtype(output_type()));
  packet.modules.resize(packet.modules.size() + parts_.size());
  if (options_.sleep_s > 0) {
    sleep(packet.step, forward_share / options_.micro_batches);
    packet.x_BCHW = is_last() ? no_features : output_of(open.input_BCHW).zero_();
    if (is_last()) packet.modules.back().losses.push_back({"classifier", 0, 0});
  } else {
    packet.x_BCHW = run(open, Mode::train);
    if (is_last()) {
      add_loss(open, packet.x_BCHW, packet);
      packet.x_BCHW = no_features;
    } else {
      packet.x_BCHW = packet.x_BCHW.to(output_type());
    }
  }
  open_.push_back(std::move(open));
  packet.stages.push_back({.compute_s = unreported_s_ + watch.elapsed_s()});
  unreported_s_ = 0;
  return packet;
}

// With two versions a step computes with the parameters of one step ago. Those are the newest for forwards
// that come before the update of the step before; by the time of their backwards they are the older ones.
const Module& Stage::module_for(const Part& part, bool is_ahead) const {
  return part.older && !is_ahead ? *part.older : part.module;
}

at::Tensor Stage::run(Open& open, Mode mode) {
  at::Tensor y_BCHW = open.input_BCHW;
  for (const Part& part : parts_) {
    const bool to_input = part.module.spec().index > 0;
    Pass pass = module_for(part, mode == Mode::train && is_ahead()).forward(y_BCHW, mode, to_input);
    y_BCHW = pass.features();
    if (!options_.recompute || mode == Mode::replay) open.passes.push_back(std::move(pass));
  }
  return y_BCHW;
}

// The head's backward follows its forward at once, as in local learning: only the gradient at its input
// waits.
void Stage::add_loss(Open& open, const at::Tensor& features, Packet& packet) const {
  const double share = static_cast<double>(features.size(0)) / static_cast<double>(packet.batch);
  const Branch& classifier = module_for(parts_.back(), is_ahead()).classifier();
  BranchResult result = classifier.train(features, packet.targets(), emas_);
  PendingLosses losses;
  losses.next_module();
  losses.add(classifier.spec().name, result);
  std::vector<ModuleReport> said(parts_.size());
  said.back() = losses.read().modules.front();
  require_finite(open.step, said, {});
  packet.modules.back() = std::move(said.back());
  packet.modules.back().losses.front().loss *= share;
  open.loss_grad = result.own_grad * share;
  open.branch_grads = std::move(result.parameter_grads);
  at::_foreach_mul_(open.branch_grads, share);
}

at::Tensor Stage::backward(int micro, at::Tensor grad_BCHW) {
  const Stopwatch watch;
  const PrecisionScope scope(options_.precision, device().type());
  const auto found =
      std::find_if(open_.begin(), open_.end(), [micro](const Open& open) { return open.micro == micro; });
  if (found == open_.end())
    throw Error(ErrorKind::contract,
                fmt::format("stage {}: expected a forward of micro-batch {} before its backward, found none",
                            index(), micro));
  Open open = std::move(*found);
  open_.erase(found);
  step_lr_ = open.lr;
  step_ = open.step;
  const bool to_input = spec_.modules.front().index > 0;
  if (options_.sleep_s > 0) {
    sleep(open.step, (1 - forward_share) / options_.micro_batches);
    grad_BCHW = at::zeros_like(open.input_BCHW);
  } else {
    if (options_.recompute) run(open, Mode::replay);
    if (is_last()) grad_BCHW = std::move(open.loss_grad);
    for (std::size_t i = parts_.size(); i-- > 0; open.passes.pop_back()) {
      std::vector<at::Tensor> grads =
          module_for(parts_[i], /*is_ahead=*/false).pull(open.passes.back(), grad_BCHW);
      if (parts_[i].module.spec().index > 0) {
        grad_BCHW = std::move(grads.back());
        grads.pop_back();
      }
      if (i + 1 == parts_.size())
        std::move(open.branch_grads.begin(), open.branch_grads.end(), std::back_inserter(grads));
      add_gradients(i, std::move(grads), /*complete=*/micro + 1 == options_.micro_batches);
    }
  }
  // As it would arrive from another worker, so that how many there are changes no bit.
  grad_BCHW = to_input ? grad_BCHW.to(output_type()).contiguous(open.input_BCHW.suggest_memory_format())
                       : at::Tensor();
  unreported_s_ += watch.elapsed_s();
  return grad_BCHW;
}

// Replicas begin to add up a module's gradients while the modules before it are still pulled back.
void Stage::add_gradients(std::size_t part, std::vector<at::Tensor> grads, bool complete) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor>& sum = gradients_[part];
  // Out of place: a gradient may be an expanded view, or be somebody else's as well.
  sum = sum.empty() ? std::move(grads) : at::_foreach_add(sum, grads);
  if (complete && begin_sum_) due_.push_back({.part = part, .sum = begin_sum_(sum)});
}

double Stage::update() {
  const Stopwatch watch;
  sum_wait_s_ = 0;
  if (options_.sleep_s == 0) {
    for (std::size_t i = 0; i < parts_.size() && !begin_sum_; ++i) {
      measure(i, gradients_[i]);
      apply(norms_.back(), gradients_[i], step_lr_);
    }
    finish_updates(step_lr_);
    require_finite(step_, {}, PendingLosses().read(whole_norms()).further);
    norms_.clear();
  }
  for (std::vector<at::Tensor>& sum : gradients_) sum.clear();
  ++steps_done_;
  unreported_s_ += watch.elapsed_s() - sum_wait_s_;
  return sum_wait_s_;
}

}  // namespace lamina
