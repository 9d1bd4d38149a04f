#include "lamina/core/refusals.hpp"

#include <gmock/gmock.h>

#include <algorithm>

namespace lamina {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Refusals, TellTheFirstOfAKindAndCountTheRest) {
  Refusals refusals("worker 3");
  testing::internal::CaptureStderr();
  for (int i = 0; i < 1000; ++i) refusals.note("too slow", "host " + std::to_string(i), "it said nothing");
  refusals.note("of another language", "host x", "it spoke Latin");
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_THAT(told, AllOf(HasSubstr("worker 3 turned away host 0: it said nothing"),
                          HasSubstr("worker 3 turned away host x: it spoke Latin")));
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 2);

  testing::internal::CaptureStderr();
  refusals.sum_up();
  const std::string sum = testing::internal::GetCapturedStderr();
  EXPECT_THAT(sum,
              HasSubstr("worker 3 turned away 1001 strangers in all: 1 of another language, 1000 too slow"));
  EXPECT_EQ(std::count(sum.begin(), sum.end(), '\n'), 1);
}

TEST(Refusals, HaveNothingToAddWhereEachHasBeenTold) {
  Refusals refusals("worker 3");
  testing::internal::CaptureStderr();
  refusals.note("too slow", "a host", "it said nothing");
  testing::internal::GetCapturedStderr();
  testing::internal::CaptureStderr();
  refusals.sum_up();
  refusals.sum_up();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), IsEmpty());
}

}  // namespace
}  // namespace lamina
