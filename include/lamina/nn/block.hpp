#pragma once

#include <optional>

#include "lamina/nn/backbone.hpp"
#include "lamina/nn/chain.hpp"

namespace lamina {

/// What begins the names of a block's tensors in the backbone: "layer1.0.", "features.", or "" for a ResNet's
/// stem.
std::string prefix_of(const BlockSpec& spec);

/// A block with its tensors.
class Block {
 public:
  /// The backbone's own, by the block's name, or a copy of it as `set` says.
  Block(const BlockSpec& spec, const Initializer& init);
  Block(const BlockSpec& spec, const TensorSet& set, const Initializer& init);

  /// x_BCHW -> y_BCHW of spec.out.
  at::Tensor forward(const at::Tensor& x_BCHW, Mode mode) const;

  std::vector<NamedTensor> tensors() const;

 private:
  Chain body_;
  std::optional<Chain> shortcut_;
  bool residual_;
};

}  // namespace lamina
