#include "lamina/nn/block.hpp"

#include <ATen/ATen.h>

namespace lamina {

std::string prefix_of(const BlockSpec& spec) {
  if (!spec.prefix.empty()) return spec.prefix;
  return spec.name.empty() ? "" : spec.name + ".";
}

Block::Block(const BlockSpec& spec, const Initializer& init) : Block(spec, prefix_of(spec), init) {}

Block::Block(const BlockSpec& spec, const TensorSet& set, const Initializer& init)
    : body_(spec.body, spec.in, set, init), residual_(spec.residual) {
  if (!spec.shortcut.empty()) shortcut_.emplace(spec.shortcut, spec.in, set, init);
}

at::Tensor Block::forward(const at::Tensor& x_BCHW, Mode mode) const {
  at::Tensor y = body_.forward(x_BCHW, mode);
  if (!residual_) return y;
  y += shortcut_ ? shortcut_->forward(x_BCHW, mode) : x_BCHW;
  return at::relu_(y);
}

std::vector<NamedTensor> Block::tensors() const {
  std::vector<NamedTensor> all = body_.tensors();
  if (shortcut_) all.insert(all.end(), shortcut_->tensors().begin(), shortcut_->tensors().end());
  return all;
}

}  // namespace lamina
