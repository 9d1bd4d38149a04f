#pragma once

#include <cstdint>

#include "lamina/train/run_config.hpp"

namespace lamina {

/// Cosine with warm-up, docs/method.md, Recipe: constant within an epoch e = 1..E (`epochs`), of which the
/// first W (`warmup_epochs`) warm up,
///
///     base(e) = lr/2 * (1 + cos(pi*e/E)),   for e <= W: base(e)*(e-1)/W + 0.01*(W+1-e)/W.
///
/// With W = 0 the cosine is of e-1.
double epoch_lr(double lr, std::int64_t epochs, double warmup_epochs, std::int64_t epoch_from_1);

/// The same idea step by step, for short runs: lr/2 * (1 + cos(pi*t/T)) for t = 0..T-1, times (t+1)/W in the
/// first W steps.
double step_lr(double lr, std::int64_t num_steps, double warmup_steps, std::int64_t step);

/// The rate of a step under `config`, with `steps_per_epoch` steps an epoch.
double learning_rate(const TrainConfig& config, std::int64_t steps_per_epoch, std::int64_t step);

}  // namespace lamina
