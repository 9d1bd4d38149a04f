#include "window_sweep.hpp"

#include <ATen/ATen.h>

namespace lamina {
namespace {

// Out of place: a gradient may be an expanded view, or be somebody else's as well.
void accumulate(at::Tensor& sum, const at::Tensor& grad) {
  if (grad.defined()) sum = sum.defined() ? sum + grad : grad;
}

}  // namespace

void WindowSweep::add(const BranchResult& result) {
  Open& newest = modules_.back();
  accumulate(newest.grad_BCHW, result.own_grad);
  newest.branch_grads.insert(newest.branch_grads.end(), result.parameter_grads.begin(),
                             result.parameter_grads.end());
  if (result.window_grad.defined()) pull(result.window_grad);
}

void WindowSweep::pull(at::Tensor grad_BCHW) {
  for (auto module = modules_.rbegin(); module != modules_.rend(); ++module) {
    if (module->own) accumulate(module->grad_BCHW, grad_BCHW);
    if (module + 1 != modules_.rend()) grad_BCHW = pull_to_input(module->pass, grad_BCHW);
  }
}

void WindowSweep::next() {
  if (static_cast<std::int64_t>(modules_.size()) == window_) close_oldest();
}

void WindowSweep::finish() {
  while (!modules_.empty()) close_oldest();
}

void WindowSweep::close_oldest() {
  Open oldest = std::move(modules_.front());
  modules_.pop_front();
  if (oldest.own)
    close_(
        {oldest.part, std::move(oldest.pass), std::move(oldest.grad_BCHW), std::move(oldest.branch_grads)});
}

}  // namespace lamina
