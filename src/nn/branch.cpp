#include "lamina/nn/branch.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include "gradients.hpp"

namespace lamina {
namespace {

std::vector<Block> make_augs(const BranchSpec& spec, Role role, const Initializer& init) {
  std::vector<Block> augs;
  for (std::size_t j = 0; j < spec.leaps.size(); ++j) {
    const BlockSpec& block = spec.leaps[j].block;
    augs.emplace_back(block, TensorSet{fmt::format("lam.{}.aug.{}.", spec.module, j), prefix_of(block), role},
                      init);
  }
  return augs;
}

std::vector<NamedTensor> make_scale(const BranchSpec& spec, Role role, const Initializer& init) {
  if (!spec.scaled) return {};
  const std::string name = fmt::format("lam.{}.scale", spec.module);
  const bool trained = role == Role::trained;
  return {{name, (trained ? init : init.frozen()).constant(name, {1}, 1.0), trained}};
}

}  // namespace

std::string BranchSpec::head_prefix() const {
  return name == "classifier" ? "" : fmt::format("head.{}.{}.", module, name);
}

std::int64_t BranchSpec::parameters() const {
  std::int64_t sum = cost(head, head_in()).parameters + (scaled ? 1 : 0);
  for (const LeapSpec& leap : leaps) sum += leap.block.parameters;
  return sum;
}

std::int64_t BranchSpec::multiply_adds() const {
  std::int64_t sum = cost(head, head_in()).multiply_adds;
  for (const LeapSpec& leap : leaps) sum += leap.block.multiply_adds * (leap.with_ema ? 2 : 1);
  return sum;
}

Branch::Branch(const BranchSpec& spec, Role role, const Initializer& init)
    : spec_(spec),
      augs_(make_augs(spec, role, init)),
      scale_(make_scale(spec, role, init)),
      head_(spec.head, spec.head_in(), TensorSet{spec.head_prefix(), spec.head_prefix(), role}, init),
      parameters_(trained(tensors())) {}

// docs/method.md, Leaps: the first leap's copy and its EMA see the same input and are added.
at::Tensor Branch::leap(const at::Tensor& features, const EmaBlocks& emas) const {
  at::Tensor z = features;
  for (std::size_t j = 0; j < augs_.size(); ++j) {
    at::Tensor aug = augs_[j].forward(z, Mode::train);
    if (spec_.leaps[j].with_ema) {
      const at::Tensor ema = emas.at(spec_.leaps[j].block.name)->forward(z, Mode::train);
      if (spec_.scaled) {
        const at::Tensor& s = scale_.front().tensor;
        aug = s * aug + (2 - s) * ema;
      } else {
        aug = aug + ema;
      }
    }
    z = aug;
  }
  return z;
}

BranchResult Branch::train(const at::Tensor& features, const Targets& targets, const EmaBlocks& emas) const {
  const at::Tensor leaf = features.detach().requires_grad_(true);
  const HeadLoss loss = head_.loss(leap(leaf, emas), targets, Mode::train);
  // A shadow's own loss belongs to its owner.
  const double own = parameters_.empty() ? 0 : spec_.own_weight;
  const double total = own + spec_.window_weight;
  std::vector<at::Tensor> inputs{leaf};
  inputs.insert(inputs.end(), parameters_.begin(), parameters_.end());
  std::vector<at::Tensor> grads = gradients(loss.total, inputs, at::full({}, total, loss.total.options()));
  BranchResult result{.loss = loss.total.detach(), .correct = loss.correct};
  const auto share = [&](double weight) {
    return weight == total ? grads.front() : weight > 0 ? grads.front() * (weight / total) : at::Tensor();
  };
  result.own_grad = share(own);
  result.window_grad = share(spec_.window_weight);
  result.parameter_grads.assign(grads.begin() + 1, grads.end());
  return result;
}

BranchResult Branch::eval(const at::Tensor& features, const Targets& targets) const {
  const at::NoGradGuard no_grad;
  const HeadLoss loss = head_.loss(features, targets, Mode::eval);
  return {
      .loss = loss.total, .correct = loss.correct, .own_grad = {}, .window_grad = {}, .parameter_grads = {}};
}

std::vector<NamedTensor> Branch::tensors() const {
  std::vector<NamedTensor> all;
  for (const Block& aug : augs_) append(all, aug.tensors());
  append(all, scale_);
  append(all, head_.tensors());
  return all;
}

}  // namespace lamina
