#include "lamina/study/run_view.hpp"

#include <gmock/gmock.h>

#include "control/some_figures.hpp"

namespace lamina {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Ten steps of 32 images in 2 s: the first stage computes half of the time and waits for room the other half.
RunSight ten_steps() {
  RunSight sight{.where = "runs/a", .before = some_figures()};
  sight.now = sight.before;
  sight.now.steps += 10;
  sight.now.images += 320;
  sight.now.seconds += 2;
  sight.now.stages[0].compute_s += 1;
  sight.now.stages[0].room_s += 1;
  sight.now.stages[1].compute_s += 2;
  return sight;
}

std::string text(const std::vector<std::string>& lines) {
  std::string joined;
  for (const std::string& line : lines) joined += line + "\n";
  return joined;
}

std::string row_of_stage(int stage, const RunSight& sight) {
  for (const std::string& line : frame_of(sight, 160))
    if (line.starts_with("    " + std::to_string(stage) + " ")) return line;
  return {};
}

TEST(RunView, SharesAreOfTheIntervalAlone) {
  EXPECT_THAT(row_of_stage(0, ten_steps()),
              HasSubstr(" 50 % ####################....................   0 %  50 %"));
  EXPECT_THAT(row_of_stage(1, ten_steps()),
              HasSubstr("100 % ########################################   0 %   0 %"));
  EXPECT_THAT(text(frame_of(ten_steps())), HasSubstr("160 images/s, mean of 10 steps in 2.0 s"));
}

TEST(RunView, AStagesLossIsItsLastModules) {
  RunSight sight = ten_steps();
  sight.now.modules[0].loss = 11;
  sight.now.modules[1].loss = 12;
  sight.now.modules[1].accuracy = 0.375;
  EXPECT_THAT(row_of_stage(0, sight), HasSubstr("12.0000   37.5 %"));
}

TEST(RunView, WhatIsUnknownIsADash) {
  RunSight sight = ten_steps();
  sight.now.modules[2] = {.stage = 1};
  EXPECT_THAT(row_of_stage(1, sight), ::testing::EndsWith("       -        -"));
}

TEST(RunView, ColumnsThatARunHasNoUseForAreLeftOut) {
  RunSight sight = ten_steps();
  EXPECT_THAT(text(frame_of(sight)), HasSubstr("replicas"));
  EXPECT_THAT(text(frame_of(sight)), HasSubstr("on device"));
  for (StageFigures& stage : sight.now.stages) stage.replicas_s = stage.device_memory_bytes = 0;
  EXPECT_THAT(text(frame_of(sight)), Not(HasSubstr("replicas")));
  EXPECT_THAT(text(frame_of(sight)), Not(HasSubstr("on device")));
}

TEST(RunView, ARunBeforeItsFirstStepHasAFrame) {
  EXPECT_THAT(text(frame_of({.where = "runs/a"})), HasSubstr("no step yet"));
}

TEST(RunView, AProcessThatCountsAnewIsShownFromItsBeginning) {
  RunSight sight = ten_steps();
  sight.before.steps = sight.now.steps + 1;
  EXPECT_THAT(text(frame_of(sight)),
              HasSubstr("mean of " + std::to_string(static_cast<int>(sight.now.steps))));
}

TEST(RunView, ARowFitsIntoEightyColumns) {
  RunSight sight = ten_steps();
  for (StageFigures& stage : sight.now.stages) stage.device_memory_bytes = 0;
  EXPECT_THAT(frame_of(sight, 80).at(3), ::testing::EndsWith("accuracy"));
}

TEST(RunView, NoFrameIsWiderOrHigherThanItsTerminal) {
  for (std::size_t width = 0; width < 160; ++width)
    for (std::size_t height = 0; height < 9; ++height) {
      const std::vector<std::string> lines = frame_of(ten_steps(), width, height);
      EXPECT_LE(lines.size(), height);
      for (const std::string& line : lines) EXPECT_LE(line.size(), width);
    }
}

TEST(RunView, StagesWithoutRoomAreCounted) {
  RunSight sight = ten_steps();
  sight.now.stages.resize(20);
  EXPECT_EQ(frame_of(sight, 100, 10).back(), "and 15 more stages");
}

}  // namespace
}  // namespace lamina
