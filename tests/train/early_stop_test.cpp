#include "train/early_stop.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "temporary_directory.hpp"

namespace lamina {
namespace {

// s for each evaluation after which the run is to stop, - for the others.
std::string verdicts(EarlyStop early_stop, const std::vector<double>& values) {
  std::string text;
  for (const double value : values) {
    early_stop.add(value, value);
    text += early_stop.verdict().stop ? 's' : '-';
  }
  return text;
}

TEST(EarlyStop, CountsEvaluationsThatAreNotBetterThanTheBest) {
  const EarlyStop accuracy({.patience = 2, .metric = "accuracy"});
  EXPECT_EQ(verdicts(accuracy, {0.1, 0.2, 0.3, 0.4}), "----");
  EXPECT_EQ(verdicts(accuracy, {0.5, 0.4, 0.6, 0.5, 0.6, 0.5}), "----ss");
  EXPECT_EQ(verdicts(accuracy, {0.5, NAN, 0.4}), "--s");
}

TEST(EarlyStop, OfLossesTheSmallerIsBetter) {
  const EarlyStop loss({.patience = 1, .metric = "loss"});
  EXPECT_EQ(verdicts(loss, {3, 2, 1, 2}), "---s");
}

TEST(EarlyStop, AResumedRunKnowsWhatHasBeenEvaluated) {
  const TemporaryDirectory directory;
  const auto metrics = directory.path() / "metrics.jsonl";
  std::ofstream out(metrics);
  for (const int step : {2, 4, 6})
    out << R"({"kind":"train","step":)" << step - 1 << "}\n"
        << R"({"kind":"eval","step":)" << step << R"(,"test_accuracy":0.5,"test_loss":null})" << "\n";
  out << "{\"kind\":\"ev";
  out.close();
  const auto resumed_at = [&](std::int64_t step, std::int64_t patience) {
    EarlyStop early_stop({.patience = patience, .metric = "accuracy"});
    early_stop.read(metrics, step);
    return early_stop.verdict();
  };
  EXPECT_FALSE(resumed_at(7, 3).stop);
  EXPECT_TRUE(resumed_at(7, 2).stop);
  EXPECT_FALSE(resumed_at(6, 2).over) << "the evaluation at 6 is the one that decided";
  EXPECT_TRUE(resumed_at(6, 1).over) << "the one at 4 had decided, so the run was stopped here";
  EXPECT_FALSE(resumed_at(7, 1).over);
}

}  // namespace
}  // namespace lamina
