#include "lamina/nn/sgd.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace lamina {

void SgdConfig::visit(FieldVisitor& v) {
  v.field("momentum", &momentum, "of SGD", between(0, 1));
  v.field("weight_decay", &weight_decay, "added to every gradient, times the parameter", at_least(0));
  v.field("nesterov", &nesterov, "look ahead along the momentum");
}

Sgd::Sgd(const SgdConfig& config, std::vector<at::Tensor> parameters)
    : config_(config), parameters_(std::move(parameters)) {
  for (const at::Tensor& parameter : parameters_) momentum_.push_back(at::zeros_like(parameter.detach()));
}

void Sgd::step(const std::vector<at::Tensor>& grads, double lr) {
  const at::NoGradGuard no_grad;
  // The fused kernel walks raw memory, so a gradient must lie in memory as its parameter does.
  std::vector<at::Tensor> aligned = grads;
  for (std::size_t i = 0; i < aligned.size(); ++i)
    if (aligned[i].strides() != parameters_[i].strides())
      aligned[i] = at::empty_like(parameters_[i].detach()).copy_(aligned[i]);
  // Without momentum the kernel wants no buffers at all; ours stay zero.
  const bool accelerates = config_.momentum > 0;
  at::_fused_sgd_(parameters_, aligned, accelerates ? at::TensorList(momentum_) : at::TensorList(),
                  config_.weight_decay, config_.momentum, lr, /*dampening=*/0.0,
                  config_.nesterov && accelerates,
                  /*maximize=*/false, /*is_first_step=*/false);
}

}  // namespace lamina
