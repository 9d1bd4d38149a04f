#include "train/stop_conditions.hpp"

#include <gtest/gtest.h>

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
  EXPECT_FALSE(StopConditions(config(directory)).met());
  EXPECT_FALSE(StopConditions(config(directory, "1000d")).met());
}

TEST(StopConditions, TheBudgetCountsFromTheProcesssStart) {
  const TemporaryDirectory directory;
  EXPECT_TRUE(StopConditions(config(directory, "0s")).met());
}

TEST(StopConditions, AFileAsksOnce) {
  const TemporaryDirectory directory;
  const auto file = directory.path() / "STOP";
  std::ofstream(file).close();
  StopConditions conditions(config(directory));
  EXPECT_TRUE(conditions.met());
  EXPECT_TRUE(conditions.met()) << "it stays met";
  EXPECT_FALSE(std::filesystem::exists(file)) << "a resumed run would stop at once";
  EXPECT_FALSE(StopConditions(config(directory)).met());
}

}  // namespace
}  // namespace lamina
