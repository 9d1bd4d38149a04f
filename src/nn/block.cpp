#include "lamina/nn/block.hpp"

#include <ATen/ATen.h>

namespace lamina {
namespace {

std::string prefix_of(const BlockSpec& spec) {
  return spec.name.empty() ? "" : spec.name + ".";
}

}  // namespace

Block::Block(const BlockSpec& spec, const Initializer& init)
    : body_(spec.body, spec.in, prefix_of(spec), init), residual_(spec.residual) {
  if (!spec.shortcut.empty()) shortcut_.emplace(spec.shortcut, spec.in, prefix_of(spec), init);
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
