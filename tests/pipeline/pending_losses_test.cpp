#include "pipeline/pending_losses.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace lamina {
namespace {

TEST(PendingLosses, AreReadAsTheyAreModuleByModule) {
  const at::Tensor third = at::full({}, 1.0f / 3, at::kFloat);
  const at::Tensor tenth = at::full({}, 0.1, at::kDouble);
  PendingLosses losses;
  losses.next_module();
  losses.add("independent", {.loss = third, .correct = {}});
  losses.add("cascaded", {.loss = tenth, .correct = at::full({}, 12345678, at::kLong)});
  losses.next_module();
  losses.next_module();
  losses.add("classifier", {.loss = third, .correct = at::full({}, 0, at::kLong)});

  const auto [reports, further] = losses.read({tenth, third.reshape({1})});
  ASSERT_EQ(reports.size(), 3u);
  ASSERT_EQ(reports[0].losses.size(), 2u);
  EXPECT_EQ(reports[0].losses[0].branch, "independent");
  EXPECT_EQ(reports[0].losses[0].loss, third.item<double>());
  EXPECT_EQ(reports[0].losses[0].correct, -1);
  EXPECT_EQ(reports[0].losses[1].branch, "cascaded");
  EXPECT_EQ(reports[0].losses[1].loss, 0.1);
  EXPECT_EQ(reports[0].losses[1].correct, 12345678);
  EXPECT_TRUE(reports[1].losses.empty());
  ASSERT_EQ(reports[2].losses.size(), 1u);
  EXPECT_EQ(reports[2].losses[0].correct, 0);
  EXPECT_EQ(further, (std::vector<double>{0.1, third.item<double>()}));
}

TEST(PendingLosses, TheirTotalIsFiniteOnlyIfTheyAllAre) {
  PendingLosses losses;
  losses.next_module();
  losses.add("independent", {.loss = at::full({}, 3e38, at::kFloat), .correct = {}});
  losses.add("cascaded", {.loss = at::full({}, 3e38, at::kFloat), .correct = {}});
  EXPECT_TRUE(losses.total().isfinite().all().item<bool>());
  losses.next_module();
  losses.add("classifier", {.loss = at::full({}, -INFINITY, at::kFloat), .correct = {}});
  EXPECT_FALSE(losses.total().isfinite().any().item<bool>());
}

TEST(PendingLosses, NoneAreNone) {
  EXPECT_TRUE(PendingLosses().read().modules.empty());
}

}  // namespace
}  // namespace lamina
