#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <vector>

#include "nn/examples.hpp"

namespace lamina {

// How far `grad` is from the central differences of `value` along random directions of `variable`, relative
// to the larger of |grad| and `floor`.
//
// A direction that carries some ReLU over its kink is off by more than rounding. The step makes that rare,
// and the median of five directions drops it; a wrong gradient is wrong along nearly every direction.
inline double difference_error(const std::function<double()>& value, at::Tensor variable,
                               const at::Tensor& grad, double floor) {
  constexpr double step = 1e-6;
  const at::Tensor start = variable.detach().clone();
  const auto value_at = [&](const at::Tensor& point) {
    variable.detach().copy_(point);  // the same memory, outside any graph
    return value();
  };
  std::array<double, 5> errors{};
  for (std::size_t i = 0; i < errors.size(); ++i) {
    const at::Tensor direction = noise(variable.sizes(), 100 + i);
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
