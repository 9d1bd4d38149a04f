#include "lamina/train/lr_schedule.hpp"

#include <cmath>
#include <numbers>

namespace lamina {
namespace {

constexpr double warmup_floor = 0.01;

double cosine(double lr, double progress) {
  return lr / 2 * (1 + std::cos(std::numbers::pi * progress));
}

}  // namespace

double epoch_lr(double lr, std::int64_t epochs, double warmup_epochs, std::int64_t epoch_from_1) {
  const auto e = static_cast<double>(epoch_from_1);
  const double done = warmup_epochs > 0 ? e : e - 1;  // without warm-up the first epoch has the whole rate
  const double base = cosine(lr, done / static_cast<double>(epochs));
  if (e > warmup_epochs) return base;
  return base * (e - 1) / warmup_epochs + warmup_floor * (warmup_epochs + 1 - e) / warmup_epochs;
}

double step_lr(double lr, std::int64_t num_steps, double warmup_steps, std::int64_t step) {
  const auto t = static_cast<double>(step);
  const double base = cosine(lr, t / static_cast<double>(num_steps));
  return t + 1 < warmup_steps ? base * (t + 1) / warmup_steps : base;
}

double learning_rate(const TrainConfig& config, std::int64_t steps_per_epoch, std::int64_t step) {
  if (config.lr_schedule == "epoch")
    return epoch_lr(config.lr, config.epochs, config.warmup_epochs, step / steps_per_epoch + 1);
  return step_lr(config.lr, config.epochs * steps_per_epoch,
                 config.warmup_epochs * static_cast<double>(steps_per_epoch), step);
}

}  // namespace lamina
