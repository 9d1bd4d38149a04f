#pragma once

#include <torch/csrc/autograd/autograd.h>

#include "lamina/nn/framework.hpp"
#include "nn/examples.hpp"

// Heads as the frameworks make them, and batches to show them.
namespace lamina {

// Where a head stands if only its module matters.
struct Standing {
  std::int64_t module = 0;
  std::int64_t num_modules = 4;
  std::int64_t image_side = 32;
};

// The head for features of that shape, as behind the stem of a ResNet-20.
inline HeadSpec head_for(const MethodConfig& method, const FeatureShape& in, const Standing& at = {}) {
  const Backbone backbone = backbone_of("resnet20", at.image_side);
  return make_head(method,
                   {.backbone = backbone, .module = at.module, .num_modules = at.num_modules, .in = in});
}

// Labels of which some are alike, and images.
inline Targets targets_of(std::int64_t samples, std::int64_t image_side = 32) {
  return {.y_B = labels_of(samples, 4),
          .image_BCHW = at::sigmoid(batch_of(samples, {3, image_side, image_side}, 77))};
}

struct HeadGradients {
  at::Tensor features;
  std::vector<at::Tensor> parameters;
};

inline HeadGradients gradients(const Head& head, const at::Tensor& features, const Targets& targets) {
  const at::Tensor leaf = features.detach().requires_grad_(true);
  std::vector<at::Tensor> inputs = trained(head.tensors());
  inputs.insert(inputs.begin(), leaf);
  const std::vector<at::Tensor> grads =
      torch::autograd::grad({head.loss(leaf, targets, Mode::train).total}, inputs);
  return {grads.front(), {grads.begin() + 1, grads.end()}};
}

}  // namespace lamina
