#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "lamina/nn/initializer.hpp"
#include "lamina/train/run_plan.hpp"
#include "lamina/train/safetensors.hpp"

namespace lamina {

/// Training steps for comparison with other implementations.
struct StepRequest {
  /// Any subset of the names, laid over those of `model.init`; momentum as "sgd.momentum.<name>".
  std::shared_ptr<const GivenTensors> weights = nullptr;
  at::Tensor x_BCHW{};  ///< floating, after augmentation and normalisation
  at::Tensor y_B{};     ///< int64
  bool in_double = false;
  std::int64_t steps = 1;  ///< on the same batch
};

/// Runs the plan's stages in turn in this thread, with the rate `train.lr` and the plan's snapshot policy.
///
/// @return of the last step "loss.<i>.independent" and "loss.<i>.cascaded" (the heads' losses, without wx and
/// wy) and "grad.<name>"; then every tensor as it is afterwards, momentum as "sgd.momentum.<name>".
/// @throws Error{checkpoint} for weights of an unknown name, another shape or type; Error{data} for a batch
/// of another shape or type than the network takes; Error{config} for double precision with bfloat16.
TensorList single_step(const RunPlan& plan, const StepRequest& request);

/// @throws Error{checkpoint} unless every name of `weights` is one of the plan's tensors.
void check_names(const RunPlan& plan, const GivenTensors& weights);

}  // namespace lamina
