#include "data/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "lamina/data/loader.hpp"

namespace lamina {
namespace {

TEST(DrawBelow, IsUnbiasedWhereScalingAloneWouldBeBiased) {
  // Of 3 * 2^30 results, scaling 32 bits gives every third one twice as often as the others.
  at::Philox4_32 engine = random_stream(1, RandomUse::order);
  std::vector<int> counts(3);
  for (int i = 0; i < 60'000; ++i) ++counts[draw_below(engine, 3U << 30) % 3];
  for (const int count : counts) EXPECT_NEAR(count, 20'000, 600);
}

TEST(DrawBelow, ReachesEveryResultAndNoOther) {
  at::Philox4_32 engine = random_stream(1, RandomUse::order);
  for (const std::uint32_t bound : {1U, 2U, 9U}) {
    std::set<std::uint32_t> seen;
    for (int i = 0; i < 1000; ++i) seen.insert(draw_below(engine, bound));
    EXPECT_EQ(seen.size(), bound);
    EXPECT_EQ(*seen.rbegin(), bound - 1);
  }
}

TEST(RandomStream, DiffersInEveryPartOfItsName) {
  std::set<std::uint32_t> firsts;
  for (const std::uint64_t seed : {0, 1}) {
    for (const RandomUse use : {RandomUse::order, RandomUse::augmentation}) {
      for (const std::int64_t group : {0, 1}) {
        for (const std::int64_t item : {0, 1}) firsts.insert(random_stream(seed, use, group, item)());
      }
    }
  }
  EXPECT_EQ(firsts.size(), 16U);
}

TEST(EpochOrder, IsAPermutation) {
  for (const std::int64_t size : {0, 1, 2, 1000}) {
    std::vector<std::int64_t> order = epoch_order(3, 5, size);
    std::vector<std::int64_t> expected(static_cast<std::size_t>(size));
    std::iota(expected.begin(), expected.end(), 0);
    std::ranges::sort(order);
    EXPECT_EQ(order, expected);
  }
}

TEST(EpochOrder, IsFixedBySeedAndEpochAndDiffersBetweenThem) {
  EXPECT_EQ(epoch_order(3, 5, 100), epoch_order(3, 5, 100));
  EXPECT_NE(epoch_order(3, 5, 100), epoch_order(3, 6, 100));
  EXPECT_NE(epoch_order(3, 5, 100), epoch_order(4, 5, 100));
  std::set<std::vector<std::int64_t>> orders;
  for (const std::int64_t rollbacks : {0, 1, 2})
    orders.insert(epoch_order(seed_after_rollbacks(3, rollbacks), 5, 100));
  EXPECT_EQ(orders.size(), 3u);
  EXPECT_EQ(seed_after_rollbacks(3, 0), 3u)
      << "a run that never went back is as it was before there was that";
}

TEST(EpochOrder, GivesEveryPermutationEquallyOften) {
  std::map<std::vector<std::int64_t>, int> counts;
  for (std::int64_t epoch = 0; epoch < 24'000; ++epoch) ++counts[epoch_order(0, epoch, 4)];
  ASSERT_EQ(counts.size(), 24U);
  // Five standard deviations of a count.
  for (const auto& [order, count] : counts) EXPECT_NEAR(count, 1000, 155);
}

}  // namespace
}  // namespace lamina
