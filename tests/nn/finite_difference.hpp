#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <vector>

#include "nn/examples.hpp"

namespace lamina {

// How far the slopes of `value` that `grad` promises are from central differences, relative to |grad| or
// `floor`, whichever is larger.
//
// A direction is half random and half along the gradient: by chance alone its slope would be lost in the
// rounding of `value` when the variable is large. A direction that carries some ReLU over its kink is off by
// more than rounding; the step makes that rare, and the median drops it. A wrong gradient is wrong along
// every direction.
inline double difference_error(const std::function<double()>& value, const at::Tensor& variable,
                               const at::Tensor& grad, double floor) {
  constexpr double step = 5e-8;
  const at::Tensor start = variable.detach().clone();
  const auto value_at = [&](const at::Tensor& point) {
    variable.detach().copy_(point);  // the same memory, outside any graph
    return value();
  };
  const auto unit = [](const at::Tensor& t) { return t / t.norm().clamp_min(1e-12); };
  std::array<double, 3> errors{};
  for (std::size_t i = 0; i < errors.size(); ++i) {
    const at::Tensor direction = unit(unit(noise(variable.sizes(), 100 + i)) + unit(grad));
    const double slope =
        (value_at(start + step * direction) - value_at(start - step * direction)) / (2 * step);
    errors[i] = std::abs(slope - (grad * direction).sum().item<double>());
  }
  variable.detach().copy_(start);
  std::sort(errors.begin(), errors.end());
  return errors[errors.size() / 2] / std::max(grad.norm().item<double>(), floor);
}

// The worst of several variables, each moved by itself. Some gradients are zero but for rounding (a bias
// before a batch norm), so none is measured against less than a hundredth of all.
inline double difference_error(const std::function<double()>& value, const std::vector<at::Tensor>& variables,
                               const std::vector<at::Tensor>& grads) {
  double squares = 0;
  for (const at::Tensor& grad : grads) squares += grad.square().sum().item<double>();
  double worst = 0;
  for (std::size_t i = 0; i < variables.size(); ++i)
    worst = std::max(worst, difference_error(value, variables[i], grads[i], 0.01 * std::sqrt(squares)));
  return worst;
}

}  // namespace lamina
