#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lamina/nn/chain.hpp"

namespace lamina {

/// The classification heads there are.
std::vector<std::string> head_names();

/// The layers of a classification head, by its name in METHOD section 5, for features of shape `in`.
/// @throws Error{config} for a name not known.
ChainSpec head_layers(const std::string& name, const FeatureShape& in, std::int64_t num_classes);

/// True if the head normalises over the batch alone, so that a batch of one sample has no variance.
bool normalises_single_values(const ChainSpec& layers, const FeatureShape& in);

/// What a head says of a batch.
struct HeadResult {
  double loss = 0;           ///< mean over the samples
  std::int64_t correct = 0;  ///< samples whose largest logit is the label's
  at::Tensor feature_grad;   ///< d loss / d features, shaped as the features; undefined in evaluation
  std::vector<at::Tensor> parameter_grads;  ///< in the order of the head's parameters; empty in evaluation
};

/// A classification head with cross-entropy loss.
class Head {
 public:
  Head(const ChainSpec& layers, const FeatureShape& in, const std::string& prefix, const Initializer& init);

  /// Loss and gradients. The head sees the features detached: its gradient reaches the module only through
  /// `feature_grad` (METHOD section 6, "detach at the gradient").
  HeadResult train(const at::Tensor& features, const at::Tensor& y_B) const;
  HeadResult eval(const at::Tensor& features, const at::Tensor& y_B) const;

  /// features -> logits {B, classes}.
  at::Tensor logits(const at::Tensor& features, Mode mode) const { return chain_.forward(features, mode); }

  const std::vector<NamedTensor>& tensors() const { return chain_.tensors(); }

 private:
  Chain chain_;
  std::vector<at::Tensor> parameters_;
};

}  // namespace lamina
