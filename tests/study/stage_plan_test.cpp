#include "lamina/study/stage_plan.hpp"

#include <gmock/gmock.h>

#include <functional>
#include <optional>
#include <random>

#include "lamina/core/error.hpp"

namespace lamina {
namespace {

using ::testing::HasSubstr;

// Costs of a chain whose stages cost more than their pieces do: a stage also evaluates what follows it, as
// lookahead does.
struct PieceChain {
  std::vector<double> seconds, bytes, message_bytes, foreign_s;

  explicit PieceChain(unsigned seed, std::size_t size = 30) {
    std::mt19937 engine(seed);
    std::uniform_real_distribution<double> draw(0.1, 2.0);
    for (std::vector<double>* values : {&seconds, &bytes, &message_bytes, &foreign_s}) {
      values->resize(size);
      for (double& value : *values) value = draw(engine);
    }
  }

  StageCost cost(int first, int last) const {
    StageCost cost;
    for (int i = first; i <= last; ++i) {
      cost.seconds += seconds[static_cast<std::size_t>(i)];
      cost.bytes += bytes[static_cast<std::size_t>(i)];
    }
    const auto next = static_cast<std::size_t>(last) + 1;
    if (next < seconds.size()) cost.seconds += foreign_s[next];
    cost.message_bytes = message_bytes[static_cast<std::size_t>(last)];
    cost.gradient_bytes = cost.bytes;
    return cost;
  }

  StageProblem problem(std::vector<double> speeds) const {
    return {.num_pieces = static_cast<int>(seconds.size()),
            .cost = [this](int first, int last) { return cost(first, last); },
            .speeds = std::move(speeds)};
  }
};

// The fastest of all cuts into a stage for every worker; nothing if none keeps within the memory.
std::optional<double> by_trying_all(const StageProblem& problem) {
  const int workers = static_cast<int>(problem.speeds.size());
  std::optional<double> best;
  const std::function<void(int, int, double)> go_on = [&](int worker, int first, double so_far) {
    const bool is_last = worker + 1 == workers;
    for (int last = is_last ? problem.num_pieces - 1 : first;
         last + (workers - worker - 1) < problem.num_pieces; ++last) {
      const StageCost cost = problem.cost(first, last);
      if (cost.bytes > problem.most_bytes) continue;
      double slowest = std::max(so_far, cost.seconds / problem.speeds[static_cast<std::size_t>(worker)]);
      if (!is_last && problem.bytes_per_s > 0)
        slowest = std::max(slowest, cost.message_bytes / problem.bytes_per_s);
      if (!is_last)
        go_on(worker + 1, last + 1, slowest);
      else if (!best || slowest < *best)
        best = slowest;
    }
  };
  go_on(0, 0, 0);
  return best;
}

TEST(StagePlan, IsTheBestOfAllCutsOnRandomChains) {
  for (unsigned seed = 0; seed < 8; ++seed) {
    const PieceChain chain(seed);
    for (const std::vector<double>& speeds : {std::vector<double>{1, 1, 1, 1}, {1, 0.5, 2, 1}, {1, 1, 0.5}}) {
      StageProblem problem = chain.problem(speeds);
      EXPECT_DOUBLE_EQ(plan_stages(problem).step_s, by_trying_all(problem).value());
      problem.most_bytes = 12;
      problem.bytes_per_s = 0.15;
      const auto best = by_trying_all(problem);
      if (best) {
        EXPECT_DOUBLE_EQ(plan_stages(problem).step_s, *best);
        for (const PlannedStage& stage : plan_stages(problem).stages) EXPECT_LE(stage.bytes, 12);
      } else {
        EXPECT_THROW(plan_stages(problem), Error);
      }
    }
  }
}

TEST(StagePlan, CoversEveryPieceOnceAndPromisesWhatItsStagesTake) {
  const PieceChain chain(1);
  const StagePlan plan = plan_stages(chain.problem({1, 1, 1, 1, 1}));
  ASSERT_EQ(plan.stages.size(), 5u);
  int next = 0;
  double slowest = 0;
  for (const PlannedStage& stage : plan.stages) {
    EXPECT_EQ(stage.first, next);
    EXPECT_DOUBLE_EQ(stage.seconds, chain.cost(stage.first, stage.last).seconds);
    slowest = std::max(slowest, stage.seconds);
    next = stage.last + 1;
  }
  EXPECT_EQ(next, 30);
  EXPECT_DOUBLE_EQ(plan.step_s, slowest);
  EXPECT_DOUBLE_EQ(plan.stages[static_cast<std::size_t>(plan.slowest)].seconds, slowest);
  EXPECT_EQ(plan.ends().size(), 4u);
}

TEST(StagePlan, ALimitThatNobodyMeetsNamesTheLeastThatWouldDo) {
  const PieceChain chain(2);
  StageProblem problem = chain.problem({1, 1, 1});
  problem.most_bytes = 3;
  std::string message;
  try {
    plan_stages(problem);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::config);
    message = error.what();
  }
  EXPECT_THAT(message, HasSubstr("the least that would do is"));
}

TEST(StagePlan, TheLeastMemoryThatItNamesIsTheLeast) {
  constexpr double mib = 1 << 20;
  const auto cost = [](int first, int last) {
    return StageCost{.seconds = 1, .bytes = 2.5 * mib * (last - first + 1)};
  };
  StageProblem problem{.num_pieces = 7, .cost = cost, .speeds = {1, 1, 1}, .most_bytes = 7.4 * mib};
  try {
    plan_stages(problem);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("7.5 MiB"));
  }
  problem.most_bytes = 7.5 * mib;
  EXPECT_EQ(plan_stages(problem).stages.size(), 3u);
}

TEST(StagePlan, ReplicasTakeTheStageThatCannotBeCut) {
  const std::vector<double> seconds{1, 6, 1};
  StageProblem problem{.num_pieces = 3,
                       .cost =
                           [&](int first, int last) {
                             StageCost cost{.gradient_bytes = 4};
                             for (int i = first; i <= last; ++i)
                               cost.seconds += seconds[static_cast<std::size_t>(i)];
                             return cost;
                           },
                       .speeds = {1, 1, 1, 1, 1},
                       .most_replicas = 5};
  const StagePlan plan = plan_stages(problem);
  EXPECT_NEAR(plan.step_s, 8.0 / 5, 1e-12) << "one stage on all workers: plain data parallel";
  problem.bytes_per_s = 4;  // a sum costs 2 * (r - 1) / r
  const StagePlan with_sums = plan_stages(problem);
  EXPECT_GT(with_sums.step_s, plan.step_s);
  int workers = 0;
  for (const PlannedStage& stage : with_sums.stages) workers += stage.replicas;
  EXPECT_EQ(workers, 5);
}

TEST(StagePlan, GivenReplicasAreKeptAndTheirStagesCutAccordingly) {
  for (unsigned seed = 0; seed < 4; ++seed) {
    const PieceChain chain(seed, 12);
    StageProblem problem = chain.problem({1, 0.5, 1, 2});
    problem.replicas = {1, 2, 1};
    const StagePlan plan = plan_stages(problem);
    ASSERT_EQ(plan.stages.size(), 3u);
    double best = std::numeric_limits<double>::infinity();  // of all cuts
    for (int a = 0; a < 10; ++a)
      for (int b = a + 1; b < 11; ++b)
        best = std::min(best, std::max({chain.cost(0, a).seconds, chain.cost(a + 1, b).seconds / 0.5 / 2,
                                        chain.cost(b + 1, 11).seconds / 2}));
    EXPECT_DOUBLE_EQ(plan.step_s, best);
    EXPECT_EQ(plan.stages[1].replicas, 2);
    EXPECT_EQ(plan.stages[2].first_worker, 3);
  }
}

TEST(StagePlan, AReplicaGetsWholeSamplesAndAtLeastOne) {
  StageProblem problem{.num_pieces = 1,
                       .cost = [](int, int) { return StageCost{.seconds = 8}; },
                       .speeds = {1, 1, 1},
                       .batch = 8,
                       .most_replicas = 3};
  EXPECT_EQ(plan_stages(problem).step_s, 3) << "the largest of 3, 3 and 2 samples";
  EXPECT_EQ(largest_share(8, 8), 1.0 / 8);
  EXPECT_EQ(largest_share(0, 3), 1.0 / 3);
}

TEST(StagePlan, AReplicaGoesToTheSlowestStage) {
  const StageProblem problem{
      .num_pieces = 3,
      .cost = [](int first,
                 int) { return StageCost{.seconds = first == 1 ? 6.0 : 4.0, .gradient_bytes = 4}; },
      .speeds = {1, 1, 1},
      .bytes_per_s = 8};
  const StagePlan cut = plan_stages(problem), more = with_a_replica(problem, cut);
  EXPECT_EQ(cut.slowest, 1);
  EXPECT_EQ(more.ends(), cut.ends());
  EXPECT_EQ(more.stages[1].replicas, 2);
  EXPECT_EQ(more.stages[1].seconds, 3 + 0.5) << "a half each, and the sum of 4 bytes";
  EXPECT_EQ(more.stages[2].first_worker, 3);
  EXPECT_EQ(more.step_s, 4);
  EXPECT_NE(more.slowest, 1);
}

TEST(StagePlan, ASlowLinkIsKeptOutOfTheCut) {
  // Behind piece 1 there is much to send.
  const std::vector<double> message_bytes{1, 100, 1, 1};
  StageProblem problem{.num_pieces = 4,
                       .cost =
                           [&](int first, int last) {
                             return StageCost{.seconds = last - first + 1.0,
                                              .message_bytes = message_bytes[static_cast<std::size_t>(last)]};
                           },
                       .speeds = {1, 1}};
  EXPECT_EQ(plan_stages(problem).ends(), (std::vector<std::int64_t>{1}));
  problem.bytes_per_s = 10;
  const StagePlan plan = plan_stages(problem);
  EXPECT_NE(plan.ends(), (std::vector<std::int64_t>{1}));
  EXPECT_EQ(plan.step_s, 3);
  problem.bytes_per_s = 0.1;
  EXPECT_TRUE(plan_stages(problem).by_link);
}

TEST(StagePlan, MoreStagesThanModulesAreRefused) {
  StageProblem problem{
      .num_pieces = 2, .cost = [](int, int) { return StageCost{.seconds = 1}; }, .speeds = {1, 1, 1}};
  EXPECT_THROW(plan_stages(problem), Error);
}

}  // namespace
}  // namespace lamina
