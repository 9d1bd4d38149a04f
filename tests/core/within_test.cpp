#include "lamina/core/within.hpp"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <stdexcept>

namespace lamina {
namespace {

constexpr Seconds ample{60};

TEST(Within, WhatEndsInTimeIsReturned) {
  const auto found = within(ample, [] { return std::make_unique<int>(3); });
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(**found, 3);
}

TEST(Within, WhatFailsInTimeIsThrown) {
  EXPECT_THROW(within(ample, []() -> int { throw std::runtime_error("it failed"); }), std::runtime_error);
}

TEST(Within, WhatTakesLongerIsLeftBehind) {
  std::promise<int> answer;
  const std::shared_future<int> awaited = answer.get_future().share();
  EXPECT_EQ(within(Seconds(0.01), [awaited] { return awaited.get(); }), std::nullopt);
  answer.set_value(3);
}

}  // namespace
}  // namespace lamina
