#include "lamina/train/metrics_tail.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "temporary_directory.hpp"
#include "train/metrics_record.hpp"

namespace lamina {
namespace {

RunFigures two_stages() {
  return {.modules = {{.stage = 0}, {.stage = 1}}, .stages = {{.worker = 0}, {.worker = 1}}};
}

// As two_stages() has them.
const std::vector<ModuleReport> module_reports = {
    {{{.branch = "independent", .loss = 3, .correct = 1}, {.branch = "cascaded", .loss = 2}}},
    {{{.branch = "classifier", .loss = 1, .correct = 4}}}};

std::string step_line(std::int64_t step, const std::vector<ModuleReport>& modules = module_reports) {
  Packet packet{.step = step, .total_steps = 100};
  packet.modules = modules;
  packet.stages = {{.compute_s = 0.25, .room_wait_s = 0.25}, {.compute_s = 0.5, .memory_mib = 8}};
  return train_record(packet, 0.5, two_stages()).dump() + "\n";
}

class MetricsTailTest : public ::testing::Test {
 protected:
  void append(const std::string& text) { std::ofstream(file_, std::ios::app) << text; }
  void replace(const std::string& text) { std::ofstream(file_, std::ios::trunc) << text; }

  const TemporaryDirectory directory_;
  const std::filesystem::path file_ = directory_.path() / "metrics.jsonl";
  MetricsTail tail_{file_};
};

TEST_F(MetricsTailTest, AFileThatIsNotThereYetHasNothing) {
  EXPECT_FALSE(tail_.read());
  append(step_line(0));
  EXPECT_TRUE(tail_.read());
  EXPECT_FALSE(tail_.read());
}

TEST_F(MetricsTailTest, LinesAddUpAsTheyCome) {
  append(step_line(7));
  ASSERT_TRUE(tail_.read());
  append(step_line(8) + step_line(9));
  ASSERT_TRUE(tail_.read());
  const RunFigures& figures = tail_.figures();
  EXPECT_EQ(figures.step, 10);
  EXPECT_EQ(figures.steps, 3);
  EXPECT_EQ(figures.planned_steps, 100);
  EXPECT_DOUBLE_EQ(figures.seconds, 1.5);
  EXPECT_DOUBLE_EQ(figures.stages.at(0).compute_s, 0.75);
  EXPECT_DOUBLE_EQ(figures.stages.at(0).room_s, 0.75);
  EXPECT_DOUBLE_EQ(figures.stages.at(1).memory_bytes, 8 * 1024 * 1024);
  EXPECT_EQ(figures.stages.at(1).worker, 1);
}

TEST_F(MetricsTailTest, AModulesLossIsOfTheBranchThatItsWindowTrainsBy) {
  append(step_line(0));
  ASSERT_TRUE(tail_.read());
  EXPECT_EQ(tail_.figures().modules.at(0).loss, 2);
  EXPECT_EQ(tail_.figures().modules.at(0).independent_loss, 3);
  EXPECT_TRUE(std::isnan(tail_.figures().modules.at(1).independent_loss));
}

TEST_F(MetricsTailTest, AModuleWithoutALossOfItsOwnTakesNoOthers) {
  append(step_line(0, {{}, module_reports[0]}));  // as method.compat: release has its first modules
  ASSERT_TRUE(tail_.read());
  EXPECT_TRUE(std::isnan(tail_.figures().modules.at(0).loss));
  EXPECT_TRUE(std::isnan(tail_.figures().modules.at(0).independent_loss));
  EXPECT_EQ(tail_.figures().modules.at(1).loss, 2);
  EXPECT_EQ(tail_.figures().modules.at(1).independent_loss, 3);
}

TEST_F(MetricsTailTest, WhereNoModuleHasTwoLossesThereIsNoList) {
  EXPECT_EQ(step_line(0, {module_reports[1], module_reports[1]}).find("loss_independent"), std::string::npos);
}

TEST_F(MetricsTailTest, AnEvaluationWhoseLossIsNoNumberIsReadForTheRest) {
  append(eval_record({.kind = PacketKind::eval, .step = 1}, 0.5, 2, 8).dump() + "\n");
  append(eval_record({.kind = PacketKind::eval, .step = 2}, 0.25, unknown, 8).dump() + "\n");
  ASSERT_TRUE(tail_.read());
  EXPECT_EQ(tail_.figures().test_accuracy, 0.25);
  EXPECT_TRUE(std::isnan(tail_.figures().test_loss));
}

TEST_F(MetricsTailTest, ALineThatIsBeingWrittenWaitsForItsEnd) {
  const std::string line = step_line(0);
  append(line.substr(0, 30));
  EXPECT_FALSE(tail_.read());
  append(line.substr(30));
  EXPECT_TRUE(tail_.read());
  EXPECT_EQ(tail_.figures().step, 1);
}

TEST_F(MetricsTailTest, LinesThatAreNoneOfARunArePassedOver) {
  append("{\"kind\":\"train\",\"step\":3\nnothing\n{\"kind\":\"train\"}\n[]\n");
  EXPECT_FALSE(tail_.read());
  EXPECT_EQ(tail_.figures().steps, 0);
  append(step_line(4));
  EXPECT_TRUE(tail_.read());
}

TEST_F(MetricsTailTest, AFileThatAResumeShortenedIsReadAnew) {
  append(step_line(0) + step_line(1) + step_line(2));
  ASSERT_TRUE(tail_.read());
  replace(step_line(0));
  ASSERT_TRUE(tail_.read());
  EXPECT_EQ(tail_.figures().steps, 1);
}

TEST_F(MetricsTailTest, OfALongFileTheLastLinesAreRead) {
  const std::string line = step_line(10);
  for (int step = 0; step < 20; ++step) append(step_line(step));
  MetricsTail tail(file_, static_cast<std::int64_t>(5 * line.size() / 2));
  ASSERT_TRUE(tail.read());
  EXPECT_EQ(tail.figures().step, 20);
  EXPECT_EQ(tail.figures().steps, 2);
}

}  // namespace
}  // namespace lamina
