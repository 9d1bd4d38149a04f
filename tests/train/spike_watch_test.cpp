#include "train/spike_watch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace lamina {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Packet packet(std::int64_t step, std::vector<double> losses) {
  Packet packet;
  packet.step = step;
  for (const double loss : losses)
    packet.modules.push_back({.losses = {{.branch = "cascaded", .loss = loss}}});
  return packet;
}

// So many steps of losses about 1 and 10.
std::int64_t settle(SpikeWatch& watch, std::int64_t steps) {
  for (std::int64_t step = 0; step < steps; ++step) {
    const double up = 0.1 * static_cast<double>(step % 3);
    EXPECT_THAT(watch.see(packet(step, {0.9 + up, 10})), IsEmpty());
  }
  return steps;
}

TEST(SpikeWatch, NamesTheModuleWhoseLossRisesAboveItsOwnMedian) {
  SpikeWatch watch(3);
  const std::int64_t step = settle(watch, 100);
  EXPECT_THAT(watch.see(packet(step, {2.9, 10})), IsEmpty());
  EXPECT_THAT(watch.see(packet(step + 1, {3.5, 29})),
              ElementsAre(AllOf(HasSubstr("step 101"), HasSubstr("module 0"), HasSubstr("3.5"),
                                HasSubstr("cascaded"))));
}

TEST(SpikeWatch, TellsOfASpikeOnceUntilItIsOver) {
  SpikeWatch watch(3);
  const std::int64_t step = settle(watch, 20);
  EXPECT_EQ(watch.see(packet(step, {8, 10})).size(), 1u);
  EXPECT_THAT(watch.see(packet(step + 1, {9, 10})), IsEmpty());
  EXPECT_THAT(watch.see(packet(step + 2, {1, 10})), IsEmpty());
  EXPECT_EQ(watch.see(packet(step + 3, {8, 10})).size(), 1u);
}

TEST(SpikeWatch, FewLossesAreNoMeasure) {
  SpikeWatch watch(3);
  const std::int64_t step = settle(watch, SpikeWatch::least - 1);
  EXPECT_THAT(watch.see(packet(step, {1000, 10})), IsEmpty());
}

TEST(SpikeWatch, LossesThatAreNotFiniteCountNowhere) {
  SpikeWatch watch(3);
  std::int64_t step = settle(watch, 20);
  for (int i = 0; i < 100; ++i) EXPECT_THAT(watch.see(packet(step++, {NAN, INFINITY})), IsEmpty());
  EXPECT_EQ(watch.see(packet(step, {8, 40})).size(), 2u);
}

TEST(SpikeWatch, ForgetsWhatIsLongPast) {
  SpikeWatch watch(3);
  std::int64_t step = settle(watch, 100);
  for (std::size_t i = 0; i < SpikeWatch::most; ++i) watch.see(packet(step++, {8, 10}));
  EXPECT_THAT(watch.see(packet(step, {20, 10})), IsEmpty());
}

}  // namespace
}  // namespace lamina
