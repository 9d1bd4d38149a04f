#include "gradients.hpp"

#include <torch/csrc/autograd/autograd.h>

#include "lamina/nn/precision.hpp"

namespace lamina {

std::vector<at::Tensor> gradients(const at::Tensor& output, const std::vector<at::Tensor>& inputs,
                                  const at::Tensor& grad_output, bool retain_graph) {
  const OwnTypes backward;
  return torch::autograd::grad({output}, inputs, {grad_output.to(output.scalar_type())}, retain_graph);
}

}  // namespace lamina
