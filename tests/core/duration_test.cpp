#include "lamina/core/duration.hpp"

#include <gtest/gtest.h>

namespace lamina {
namespace {

TEST(Duration, UnitsAddUp) {
  EXPECT_EQ(duration("45s"), Seconds(45));
  EXPECT_EQ(duration("3h50m"), Seconds(3 * 3600 + 50 * 60));
  EXPECT_EQ(duration("90m"), Seconds(5400));
  EXPECT_EQ(duration("1d2h3m4s"), Seconds(86400 + 2 * 3600 + 3 * 60 + 4));
  EXPECT_EQ(duration("0s"), Seconds(0));
}

TEST(Duration, WhatIsNoTimeIsNothing) {
  for (const char* text : {"", "90", "h", "3h50", "50m3h", "3h3h", "-1h", "1.5h", "3 h", "3H", "3:50:00",
                           "soon", "3h\n", "99999999999h"})
    EXPECT_FALSE(duration(text)) << text;
}

}  // namespace
}  // namespace lamina
