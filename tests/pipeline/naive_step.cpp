#include "naive_step.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

namespace lamina::tests {

NaiveStep::NaiveStep(const std::vector<ModuleSpec>& modules, const StageOptions& options,
                     const Initializer& init)
    : options_(options) {
  for (const ModuleSpec& spec : modules) {
    Part part{.spec = spec, .blocks = {}, .branches = {}};
    for (const BlockSpec& block : spec.blocks) {
      part.blocks.emplace_back(block, init);
      enter(part.blocks.back().tensors());
    }
    for (const BranchSpec& branch : spec.branches) {
      std::vector<Block> augs;
      for (std::size_t j = 0; j < branch.leaps.size(); ++j) {
        const BlockSpec& block = branch.leaps[j].block;
        augs.emplace_back(block, TensorSet(fmt::format("lam.{}.aug.{}.", spec.index, j), prefix_of(block)),
                          init);
        enter(augs.back().tensors());
      }
      const std::string name = fmt::format("lam.{}.scale", spec.index);
      at::Tensor scale = init.constant(name, {1}, 1.0);
      if (branch.scaled) enter({{name, scale, true}});
      const std::string prefix =
          branch.name == "classifier" ? "" : fmt::format("head.{}.{}.", spec.index, branch.name);
      Head head(branch.head, branch.head_in(), prefix, init);
      enter(head.tensors());
      part.branches.push_back({branch, std::move(augs), scale, std::move(head)});
    }
    for (const EmaSpec& ema : spec.emas) {
      const BlockSpec& block = spec.blocks[ema.block];
      const TensorSet set("ema." + prefix_of(block), prefix_of(block), Role::shadow);
      enter(emas_.try_emplace(block.name, block, set, init).first->second.tensors());
      if (!ema.updated) fixed_.push_back(block.name);
    }
    parts_.push_back(std::move(part));
  }
}

void NaiveStep::enter(const std::vector<NamedTensor>& tensors) {
  for (const NamedTensor& entry : tensors) {
    const bool is_parameter = entry.name.ends_with("weight") || entry.name.ends_with("bias") || entry.trained;
    if (is_parameter) tensors_.emplace(entry.name, entry.tensor);
    if (!entry.trained) continue;
    trained_.emplace(entry.name, entry.tensor);
    momentum_.emplace(entry.name, at::zeros_like(entry.tensor));
  }
}

at::Tensor NaiveStep::run(std::size_t first, std::size_t last, at::Tensor x_BCHW) const {
  for (std::size_t i = first; i <= last; ++i)
    for (const Block& block : parts_[i].blocks) x_BCHW = block.forward(x_BCHW, Mode::train);
  return x_BCHW;
}

at::Tensor NaiveStep::loss(const Looking& branch, const at::Tensor& features, const Targets& targets) const {
  at::Tensor z = features;
  for (std::size_t j = 0; j < branch.augs.size(); ++j) {
    const at::Tensor aug = branch.augs[j].forward(z, Mode::train);
    if (!branch.spec.leaps[j].with_ema) {
      z = aug;
      continue;
    }
    const at::Tensor ema = emas_.at(branch.spec.leaps[j].block.name).forward(z, Mode::train);
    z = branch.spec.scaled ? branch.scale * aug + (2 - branch.scale) * ema : aug + ema;
  }
  return branch.head.loss(z, targets, Mode::train).total;
}

void NaiveStep::add_gradients(const at::Tensor& loss, Tensors& grads) const {
  std::vector<at::Tensor> inputs;
  for (const auto& [name, parameter] : trained_) inputs.push_back(parameter);
  const std::vector<at::Tensor> found =
      torch::autograd::grad({loss}, inputs, {}, std::nullopt, /*create_graph=*/false, /*allow_unused=*/true);
  std::size_t i = 0;
  for (const auto& [name, parameter] : trained_) {
    const at::Tensor& grad = found[i++];
    if (!grad.defined()) continue;
    at::Tensor& sum = grads[name];
    sum = sum.defined() ? sum + grad : grad;
  }
}

NaiveStep::Tensors NaiveStep::step(const Packet& packet) {
  std::vector<at::Tensor> inputs{packet.x_BCHW};  // of the modules
  for (std::size_t i = 0; i < parts_.size(); ++i) inputs.push_back(run(i, i, inputs[i]).detach());
  Tensors grads;
  const auto window = static_cast<std::size_t>(options_.window);
  for (std::size_t i = 0; i < parts_.size(); ++i)
    for (const Looking& branch : parts_[i].branches) {
      const std::size_t first = i + 1 > window ? i + 1 - window : 0;
      if (branch.spec.own_weight > 0)
        add_gradients(branch.spec.own_weight * loss(branch, run(i, i, inputs[i]), packet.targets()), grads);
      if (branch.spec.window_weight > 0)
        add_gradients(
            branch.spec.window_weight * loss(branch, run(first, i, inputs[first]), packet.targets()), grads);
    }
  update_emas();
  descend(grads, packet.lr);
  return grads;
}

void NaiveStep::update_emas() {
  const at::NoGradGuard no_grad;
  for (const auto& [block, ema] : emas_) {
    if (std::find(fixed_.begin(), fixed_.end(), block) != fixed_.end()) continue;
    for (const NamedTensor& entry : ema.tensors()) {
      const at::Tensor& live = tensors_.at(entry.name.substr(std::string("ema.").size()));
      entry.tensor.copy_(options_.ema_momentum * entry.tensor + (1 - options_.ema_momentum) * live);
    }
  }
}

// Nesterov's momentum and weight decay.
void NaiveStep::descend(const Tensors& grads, double lr) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, parameter] : trained_) {
    const at::Tensor g = grads.at(name) + options_.sgd.weight_decay * parameter;
    at::Tensor& v = momentum_.at(name);
    v = options_.sgd.momentum * v + g;
    parameter.copy_(parameter - lr * (g + options_.sgd.momentum * v));
  }
}

}  // namespace lamina::tests
