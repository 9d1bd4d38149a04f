#include "train/clock_alignment.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "comm/run_workers.hpp"
#include "lamina/comm/inprocess.hpp"

namespace lamina {
namespace {

// Rounds of two workers by the first one's clock: both are in before either is out.
struct Rounds {
  std::vector<GatherTimes> first;
  std::vector<GatherTimes> second;
};
Rounds random_rounds(std::mt19937& random, double second_clock_ahead_s) {
  std::uniform_real_distribution<double> late_s(0, 1e-3);
  Rounds rounds;
  double now_s = 100;
  for (int i = 0; i < 8; ++i) {
    const double in_first = now_s + late_s(random), in_second = now_s + late_s(random);
    const double all_in = std::max(in_first, in_second);
    const double out_first = all_in + late_s(random), out_second = all_in + late_s(random);
    rounds.first.push_back({in_first, out_first});
    rounds.second.push_back({in_second + second_clock_ahead_s, out_second + second_clock_ahead_s});
    now_s = std::max(out_first, out_second);
  }
  return rounds;
}

TEST(ClockAlignment, TheTrueOffsetLiesWithinTheStatedError) {
  std::mt19937 random(7);
  for (const double ahead_s : {0.0, 12.5, -3600.25})
    for (int trial = 0; trial < 50; ++trial) {
      const Rounds rounds = random_rounds(random, ahead_s);
      const ClockOffset offset = offset_to_first(rounds.first, rounds.second);
      EXPECT_LE(std::abs(offset.offset_s + ahead_s), offset.error_s + 1e-9);
      EXPECT_LE(offset.error_s, 2e-3);
    }
}

TEST(ClockAlignment, MoreRoundsNeverLoosenTheBounds) {
  std::mt19937 random(8);
  const Rounds rounds = random_rounds(random, 1.0);
  double error_s = 1;
  for (std::size_t n = 1; n <= rounds.first.size(); ++n) {
    const std::vector<GatherTimes> first(rounds.first.begin(), rounds.first.begin() + n);
    const std::vector<GatherTimes> second(rounds.second.begin(), rounds.second.begin() + n);
    const double now_s = offset_to_first(first, second).error_s;
    EXPECT_LE(now_s, error_s);
    error_s = now_s;
  }
}

TEST(ClockAlignment, WorkersOfOneProcessFindTheirCommonClock) {
  run_workers(make_inprocess_transports(3), [](Transport& transport) {
    const ClockOffset offset = align_clocks(transport, Seconds(60));
    EXPECT_LE(std::abs(offset.offset_s), offset.error_s);
    if (transport.worker() == 0) {
      EXPECT_EQ(offset.error_s, 0);
    }
  });
}

}  // namespace
}  // namespace lamina
