#include "lamina/control/run_figures.hpp"

#include <gtest/gtest.h>

#include "control/some_figures.hpp"
#include "lamina/core/error.hpp"

namespace lamina {
namespace {

TEST(RunFigures, NumbersBecomeTheSameFiguresAgain) {
  const RunFigures figures = some_figures();
  RunFigures other{.modules = figures.modules, .stages = figures.stages};
  for (ModuleFigures& module : other.modules) module = {.stage = module.stage};
  for (StageFigures& stage : other.stages) stage = {.worker = stage.worker};
  set_numbers(other, to_numbers(figures));
  EXPECT_EQ(to_numbers(other), to_numbers(figures));
  EXPECT_EQ(other.images, figures.images);
  EXPECT_EQ(other.modules.at(2).loss, figures.modules.at(2).loss);
  EXPECT_EQ(other.stages.at(1).room_s, figures.stages.at(1).room_s);
}

TEST(RunFigures, NumbersOfAnotherRunAreRefused) {
  const std::vector<double> numbers = to_numbers(some_figures());
  RunFigures smaller;
  EXPECT_THROW(set_numbers(smaller, numbers), Error);
}

}  // namespace
}  // namespace lamina
