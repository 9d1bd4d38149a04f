#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "lamina/nn/initializer.hpp"
#include "lamina/nn/layer.hpp"

namespace lamina {

/// Training uses batch statistics and updates the running ones, once a forward; evaluation uses the running
/// ones.
enum class Mode { train, eval };

/// A tensor of a network by its full name, e.g. "layer1.0.bn1.running_mean".
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
  bool trained;  ///< a parameter; otherwise a buffer
};

/// The parameters among `tensors`, in their order.
std::vector<at::Tensor> trained(const std::vector<NamedTensor>& tensors);

/// Layers with their tensors: the smallest thing that computes.
///
/// Threads  one at a time.
class Chain {
 public:
  /// `prefix` begins every tensor's name ("layer1.0." or "").
  Chain(const ChainSpec& spec, const FeatureShape& in, const std::string& prefix, const Initializer& init);

  /// x_BCHW (or x_BF after a Flatten) -> the last layer's output. A chain never begins with a Relu: that
  /// layer works in place, on what the one before it made.
  at::Tensor forward(const at::Tensor& x, Mode mode) const;

  /// In the order of the layers: parameters and buffers.
  const std::vector<NamedTensor>& tensors() const { return tensors_; }

 private:
  std::vector<std::function<at::Tensor(const at::Tensor& x, Mode mode)>> layers_;
  std::vector<NamedTensor> tensors_;
};

}  // namespace lamina
