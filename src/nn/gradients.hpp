#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace lamina {

/// Gradients of `inputs` for one at `output`, of that one's type or another, along the recorded graph, which
/// stays if `retain_graph`.
/// The graph knows the types of its tensors, and the backward pass computes in them whatever the precision
/// that the thread's forwards are in: autocast in a backward pass would round a second time, and on a GPU,
/// where a thread of autograd's own walks the graph, to that thread's type.
std::vector<at::Tensor> gradients(const at::Tensor& output, const std::vector<at::Tensor>& inputs,
                                  const at::Tensor& grad_output, bool retain_graph = false);

}  // namespace lamina
