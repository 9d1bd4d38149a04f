#include "lamina/pipeline/timeline.hpp"

#include <gtest/gtest.h>

#include "lamina/core/error.hpp"

namespace lamina {
namespace {

// The n-th millisecond of a clock.
Span span(std::int64_t n, Activity activity = Activity::compute) {
  const Clock::time_point start{std::chrono::milliseconds(n)};
  return {.start = start, .end = start + std::chrono::milliseconds(1), .step = n, .activity = activity};
}

std::vector<std::int64_t> steps(const Timeline& timeline) {
  std::vector<std::int64_t> steps;
  for (const Span& span : timeline.spans()) steps.push_back(span.step);
  return steps;
}

TEST(Timeline, KeepsWhatWasAddedInItsOrder) {
  Timeline timeline(4);
  EXPECT_TRUE(timeline.spans().empty());
  for (int n = 0; n < 3; ++n) timeline.add(span(n));
  EXPECT_EQ(steps(timeline), (std::vector<std::int64_t>{0, 1, 2}));
  EXPECT_EQ(timeline.num_overwritten(), 0);
}

TEST(Timeline, WhatTheDeviceDidMeanwhileIsNoTimeOfTheWorkers) {
  Timeline timeline(4);
  timeline.add(span(0));
  Span meanwhile = span(0);
  meanwhile.on_device = true;
  timeline.add(meanwhile);
  EXPECT_DOUBLE_EQ(timeline.account().accounted_s(), 1e-3);
  EXPECT_EQ(steps(timeline), (std::vector<std::int64_t>{0, 0}));
}

TEST(Timeline, FullItKeepsTheNewestAndCountsTheRest) {
  Timeline timeline(4);
  for (int n = 0; n < 4; ++n) timeline.add(span(n));
  EXPECT_EQ(timeline.num_overwritten(), 0);
  for (int n = 4; n < 10; ++n) {
    timeline.add(span(n));
    EXPECT_EQ(steps(timeline), (std::vector<std::int64_t>{n - 3, n - 2, n - 1, n}));
    EXPECT_EQ(timeline.num_overwritten(), n - 3);
  }
}

TEST(Timeline, AccountsForEveryActivityByItselfAlsoForWhatWasOverwritten) {
  Timeline timeline(2);
  for (int n = 0; n < 5; ++n) timeline.add(span(n));
  for (int n = 5; n < 8; ++n) timeline.add(span(n, Activity::wait_room));
  EXPECT_DOUBLE_EQ(timeline.account()[Activity::compute], 5e-3);
  EXPECT_DOUBLE_EQ(timeline.account()[Activity::wait_room], 3e-3);
  EXPECT_DOUBLE_EQ(timeline.account()[Activity::idle], 0);
  timeline.account().total_s = 0.01;
  EXPECT_DOUBLE_EQ(timeline.account().unaccounted_s(), 2e-3);
}

TEST(Timeline, ThatHoldsNothingIsRefused) {
  EXPECT_THROW(Timeline(0), Error);
}

}  // namespace
}  // namespace lamina
