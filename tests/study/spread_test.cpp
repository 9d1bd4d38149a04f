#include "lamina/study/spread.hpp"

#include <gmock/gmock.h>

namespace lamina {
namespace {

TEST(Spread, OfOneValueIsThatValue) {
  const Spread one = spread({3});
  EXPECT_EQ(one.lowest, 3);
  EXPECT_EQ(one.median, 3);
  EXPECT_EQ(one.highest, 3);
}

TEST(Spread, TakesTheMiddleWhateverTheOrder) {
  const Spread odd = spread({5, 1, 9});
  EXPECT_EQ(odd.lowest, 1);
  EXPECT_EQ(odd.median, 5);
  EXPECT_EQ(odd.highest, 9);
}

TEST(Spread, OfAnEvenNumberHasTheMeanOfTheMiddleTwo) {
  EXPECT_EQ(spread({1, 8, 4, 2}).median, 3);
}

}  // namespace
}  // namespace lamina
