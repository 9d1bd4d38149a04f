#include "train/stop_conditions.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <fstream>

#include "temporary_directory.hpp"

namespace lamina {
namespace {

RunConfig config(const TemporaryDirectory& directory, const std::string& stop_before = "") {
  RunConfig run;
  run.out = directory.path().string();
  run.train.stop_before = stop_before;
  return run;
}

TEST(StopConditions, NothingEndsARunByItself) {
  const TemporaryDirectory directory;
  EXPECT_EQ(StopConditions(config(directory)).met(), StopReason::none);
  EXPECT_EQ(StopConditions(config(directory, "1000d")).met(), StopReason::none);
}

TEST(StopConditions, TheBudgetCountsFromTheProcesssStart) {
  const TemporaryDirectory directory;
  EXPECT_EQ(StopConditions(config(directory, "0s")).met(), StopReason::stop_before);
}

TEST(StopConditions, TheBudgetCountsFromTheRunsStartWhereThatIsKnown) {
  const TemporaryDirectory directory;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto began = std::chrono::duration_cast<std::chrono::seconds>(now).count() - 1000;
  ASSERT_EQ(::setenv("LAMINA_BEGAN", std::to_string(began).c_str(), 1), 0);
  EXPECT_EQ(StopConditions(config(directory, "990s")).met(), StopReason::stop_before);
  EXPECT_EQ(StopConditions(config(directory, "2000s")).met(), StopReason::none);
  ASSERT_EQ(::setenv("LAMINA_BEGAN", "yesterday", 1), 0);
  EXPECT_EQ(StopConditions(config(directory, "990s")).met(), StopReason::none);
  ::unsetenv("LAMINA_BEGAN");
}

TEST(StopConditions, AFileAsksOnce) {
  const TemporaryDirectory directory;
  const auto file = directory.path() / "STOP";
  std::ofstream(file).close();
  StopConditions conditions(config(directory));
  EXPECT_EQ(conditions.met(), StopReason::stop_file);
  EXPECT_EQ(conditions.met(), StopReason::stop_file) << "it stays met";
  EXPECT_FALSE(std::filesystem::exists(file)) << "a resumed run would stop at once";
  EXPECT_EQ(StopConditions(config(directory)).met(), StopReason::none);
}

}  // namespace
}  // namespace lamina
