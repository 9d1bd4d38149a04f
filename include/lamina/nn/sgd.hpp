#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "lamina/core/config.hpp"
#include "lamina/nn/chain.hpp"

namespace lamina {

struct SgdConfig {
  double momentum = 0.9;
  double weight_decay = 1e-4;
  bool nesterov = true;
  void visit(FieldVisitor& v);
};

/// Stochastic gradient descent with (Nesterov) momentum and weight decay, as torch.optim.SGD computes it.
///
/// The momentum starts at zero, which is the same as taking the first gradient as it is.
class Sgd {
 public:
  Sgd(const SgdConfig& config, std::vector<at::Tensor> parameters);

  /// w -= lr * direction, for gradients in the order of the parameters.
  void step(const std::vector<at::Tensor>& grads, double lr);

  /// From now on steps these, which are like the parameters until now; the momentum stays.
  void follow(std::vector<at::Tensor> parameters) { parameters_ = std::move(parameters); }

  /// One momentum tensor a parameter, in their order.
  const std::vector<at::Tensor>& momentum() const { return momentum_; }

 private:
  SgdConfig config_;
  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> momentum_;
};

}  // namespace lamina
