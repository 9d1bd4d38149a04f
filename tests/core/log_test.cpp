#include "lamina/core/log.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace lamina {
namespace {

using testing::MatchesRegex;

template <class Action>
std::string standard_error_of(Action action) {
  testing::internal::CaptureStderr();
  action();
  return testing::internal::GetCapturedStderr();
}

TEST(Log, WritesOneLineWithTimeLevelAndMessage) {
  EXPECT_THAT(standard_error_of([] { log_warning("slow {} disk"); }),
              MatchesRegex("\\[..:..:..\\....\\] \\[warning\\] slow \\{\\} disk\n"))
      << "braces in a message are not placeholders";
}

TEST(Log, NamesTheThreadThatSpeaks) {
  set_log_label("main");
  std::string from_thread = "not asked";
  const std::string lines = standard_error_of([&] {
    std::thread([&] {
      from_thread = log_label();
      set_log_label("worker 2");
      log_info("hello");
    }).join();
    log_error("hello");
  });
  set_log_label("");
  EXPECT_EQ(from_thread, "") << "a label belongs to one thread";
  EXPECT_THAT(lines, MatchesRegex(".*\\[info\\] worker 2: hello\n.*\\[error\\] main: hello\n"));
}

TEST(Log, ALabelIsNotRepeated) {
  EXPECT_EQ(labelled("worker 1", "lost"), "worker 1: lost");
  EXPECT_EQ(labelled("worker 1", "worker 1 waited"), "worker 1 waited");
  EXPECT_EQ(labelled("worker 1", "worker 1: lost"), "worker 1: lost");
  EXPECT_EQ(labelled("worker 1", "worker 12 waited"), "worker 1: worker 12 waited");
  EXPECT_EQ(labelled("", "hello"), "hello");
}

}  // namespace
}  // namespace lamina
