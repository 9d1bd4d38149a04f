#pragma once

#include <optional>

#include "lamina/nn/backbone.hpp"
#include "lamina/nn/chain.hpp"

namespace lamina {

/// A block with its tensors.
class Block {
 public:
  Block(const BlockSpec& spec, const Initializer& init);

  /// x_BCHW -> y_BCHW of spec.out.
  at::Tensor forward(const at::Tensor& x_BCHW, Mode mode) const;

  std::vector<NamedTensor> tensors() const;

 private:
  Chain body_;
  std::optional<Chain> shortcut_;
  bool residual_;
};

}  // namespace lamina
