#include "lamina/pipeline/snapshot_policy.hpp"

#include <gtest/gtest.h>

namespace lamina {
namespace {

TEST(SnapshotPolicy, AStepUsesTheNewestPublishedVersionOfItsLag) {
  for (std::int64_t lag = 0; lag < 7; ++lag)
    for (std::int64_t every = 1; every < 5; ++every) {
      const SnapshotPolicy policy{.lag = lag, .every = every};
      for (std::int64_t step = 0; step < 30; ++step) {
        std::int64_t expected = 0;
        for (std::int64_t version = 0; version <= step - lag; ++version)
          if (policy.publishes(version)) expected = version;
        EXPECT_EQ(policy.version_for(step), expected)
            << "lag " << lag << ", every " << every << ", step " << step;
      }
    }
}

TEST(SnapshotPolicy, PublishesTheMultiplesOfEvery) {
  const SnapshotPolicy policy{.every = 3};
  for (std::int64_t version = 0; version < 10; ++version)
    EXPECT_EQ(policy.publishes(version), version % 3 == 0) << version;
}

// An owner that has just published version v has readers at step v at the earliest.
TEST(SnapshotPolicy, ADepthOfVersionsServesTheSlowestReaderAndNoneIsHeldInVain) {
  for (std::int64_t lag = 0; lag < 9; ++lag)
    for (std::int64_t every = 1; every < 5; ++every) {
      const SnapshotPolicy policy{.lag = lag, .every = every};
      std::size_t most = 0;
      for (std::int64_t newest = 0; newest < 60; newest += every) {
        std::size_t needed = 0;
        for (std::int64_t version = policy.version_for(newest); version <= newest; version += every) ++needed;
        most = std::max(most, needed);
      }
      EXPECT_EQ(policy.depth(), most) << "lag " << lag << ", every " << every;
    }
}

TEST(SnapshotPolicy, TheNewestNeedsNoOther) {
  EXPECT_EQ((SnapshotPolicy{.newest_wins = true}).depth(), 1u);
}

TEST(ResolvePolicy, AnAutomaticLagFollowsFromStagesAndBuffersAlone) {
  EXPECT_EQ(resolve_policy({}, 1, 2).lag, 0) << "one stage shadows nobody";
  EXPECT_EQ(resolve_policy({}, 2, 2).lag, 4);
  EXPECT_EQ(resolve_policy({}, 4, 2).lag, 10);
  EXPECT_EQ(resolve_policy({}, 4, 5).lag, 19);
  EXPECT_EQ(resolve_policy({.every = 4}, 4, 2).every, 4);
  EXPECT_FALSE(resolve_policy({}, 4, 2).newest_wins);
}

TEST(ResolvePolicy, AnExplicitLagStays) {
  for (const std::int64_t lag : {0, 1, 25}) EXPECT_EQ(resolve_policy({.lag = lag}, 4, 2).lag, lag);
}

TEST(ResolvePolicy, TheNewestHasNoLag) {
  const SnapshotPolicy policy = resolve_policy({.policy = "latest", .lag = 3, .every = 2}, 4, 2);
  EXPECT_TRUE(policy.newest_wins);
  EXPECT_EQ(policy.lag, 0);
  EXPECT_EQ(policy.every, 2);
}

}  // namespace
}  // namespace lamina
