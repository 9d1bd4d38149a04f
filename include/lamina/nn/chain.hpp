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
enum class Mode {
  train,
  eval,
  replay,  ///< as train, on a batch that was trained on before: the running statistics have seen it
};

/// A tensor of a network by its full name, e.g. "layer1.0.bn1.running_mean".
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
  bool trained;  ///< a parameter that is trained; otherwise a buffer or a copy
};

/// The parameters among `tensors`, in their order.
std::vector<at::Tensor> trained(const std::vector<NamedTensor>& tensors);

/// All of `tensors` without their names, in their order.
std::vector<at::Tensor> values(const std::vector<NamedTensor>& tensors);

void append(std::vector<NamedTensor>& all, const std::vector<NamedTensor>& more);

/// What a part's tensors are for.
enum class Role {
  trained,  ///< parameters that are trained, and running statistics
  shadow,   ///< a copy that follows other tensors: no gradient to it, no statistics of its own
};

/// How the tensors of a part are called, and whose first values they take.
struct TensorSet {
  TensorSet(const char* name) : prefix(name), like(name) {}               // NOLINT: a prefix is a text
  TensorSet(std::string name) : prefix(std::move(name)), like(prefix) {}  // NOLINT
  TensorSet(std::string name, std::string of, Role use = Role::trained)
      : prefix(std::move(name)), like(std::move(of)), role(use) {}
  std::string prefix;  ///< begins every tensor's name: "layer1.0.", "lam.0.aug.1.", ""
  std::string like;    ///< prefix of the tensors that these begin as
  Role role = Role::trained;
};

/// Layers with their tensors: the smallest thing that computes.
///
/// Threads  one at a time.
class Chain {
 public:
  Chain(const ChainSpec& spec, const FeatureShape& in, const TensorSet& set, const Initializer& init);

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
