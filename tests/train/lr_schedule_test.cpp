#include "lamina/train/lr_schedule.hpp"

#include <gtest/gtest.h>

namespace lamina {
namespace {

TEST(EpochLr, GivesTheRatesOfTheRecipe) {
  // docs/method.md, Recipe: E = 400, lr 0.8, 10 epochs of warm-up; printed to four digits.
  const auto at = [](std::int64_t epoch) { return epoch_lr(0.8, 400, 10, epoch); };
  EXPECT_NEAR(at(1), 0.0100, 5e-5);
  EXPECT_NEAR(at(2), 0.0890, 5e-5);
  EXPECT_NEAR(at(5), 0.3259, 5e-5);
  EXPECT_NEAR(at(10), 0.7199, 5e-5);
  EXPECT_NEAR(at(11), 0.7985, 5e-5);
  EXPECT_NEAR(at(400), 0.0, 1e-12);
}

TEST(EpochLr, WithoutWarmUpIsACosine) {
  // docs/method.md, Recipe, ImageNet: a cosine from epoch 0.
  EXPECT_EQ(epoch_lr(0.05, 150, 0, 1), 0.05);
  EXPECT_NEAR(epoch_lr(1.0, 4, 0, 3), 0.5, 1e-12);
  EXPECT_GT(epoch_lr(0.05, 150, 0, 150), 0);
}

TEST(StepLr, RisesThenFallsToAlmostNothing) {
  constexpr std::int64_t steps = 100;
  EXPECT_NEAR(step_lr(0.1, steps, 5, 0), 0.02, 1e-9);
  for (std::int64_t t = 1; t < 5; ++t) EXPECT_GT(step_lr(0.1, steps, 5, t), step_lr(0.1, steps, 5, t - 1));
  for (std::int64_t t = 6; t < steps; ++t)
    EXPECT_LT(step_lr(0.1, steps, 5, t), step_lr(0.1, steps, 5, t - 1));
  EXPECT_LT(step_lr(0.1, steps, 5, steps - 1), 1e-4);
}

TEST(LearningRate, UnderEpochChangesOnlyBetweenEpochs) {
  TrainConfig config{.epochs = 3, .warmup_epochs = 0};
  EXPECT_EQ(learning_rate(config, 10, 0), learning_rate(config, 10, 9));
  EXPECT_NE(learning_rate(config, 10, 9), learning_rate(config, 10, 10));
}

TEST(LearningRate, DoesNotDependOnWhereARunIsCutShort) {
  TrainConfig whole{.epochs = 3, .lr_schedule = "step"};
  TrainConfig cut = whole;
  cut.max_steps = 5;
  for (std::int64_t step = 0; step < 5; ++step)
    EXPECT_EQ(learning_rate(whole, 10, step), learning_rate(cut, 10, step));
}

}  // namespace
}  // namespace lamina
