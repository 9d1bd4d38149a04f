#include "lamina/pipeline/jitter.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace lamina {
namespace {

TEST(Jitter, HasMeanOneAndTheDeviationAskedFor) {
  for (const double deviation : {0.05, 0.1, 0.5}) {
    constexpr std::uint64_t steps = 200, stages = 500;
    double sum = 0, squares = 0;
    for (std::uint64_t stage = 0; stage < stages; ++stage)
      for (std::uint64_t step = 0; step < steps; ++step) {
        const double factor = jitter(deviation, {.seed = 3, .stream = stage, .number = step});
        sum += factor;
        squares += (factor - 1) * (factor - 1);
      }
    constexpr double draws = steps * stages;
    EXPECT_NEAR(sum / draws, 1, 5 * deviation / std::sqrt(draws));
    EXPECT_NEAR(std::sqrt(squares / draws), deviation, 0.03 * deviation);
  }
}

TEST(Jitter, IsTheSameForEqualKeysAndAnotherForOthers) {
  const JitterKey key{.seed = 1, .stream = 2, .number = 3};
  EXPECT_EQ(jitter(0.1, key), jitter(0.1, key));
  for (const JitterKey& other : {JitterKey{2, 2, 3}, JitterKey{1, 3, 3}, JitterKey{1, 2, 4}})
    EXPECT_NE(jitter(0.1, key), jitter(0.1, other));
}

TEST(Jitter, OfNoneIsOne) {
  EXPECT_EQ(jitter(0, {}), 1);
}

// Sleepers that the system wakes so much late.
TEST(SleepDebt, HasSetTimesComeOutRightOnTheMean) {
  SleepDebt debt;
  double slept_s = 0;
  constexpr int times = 100;
  for (int i = 0; i < times; ++i) {
    const double set_s = 0.01 * (1 + i % 3);
    const double took_s = debt.due_s(set_s) + 0.001 * (1 + i % 5);
    debt.slept(set_s, took_s);
    slept_s += took_s;
  }
  EXPECT_NEAR(slept_s, 0.01 + 0.02 * (times - 1), 0.0051);  // but for what the last one owes
}

TEST(SleepDebt, DoesNotMakeUpForAStall) {
  SleepDebt debt;
  debt.slept(0.01, 7);
  EXPECT_EQ(debt.due_s(0.01), 0);
  debt.slept(0.01, 0);
  EXPECT_EQ(debt.due_s(0.01), 0.01);
}

}  // namespace
}  // namespace lamina
