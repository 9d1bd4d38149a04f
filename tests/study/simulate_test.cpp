#include "lamina/study/simulate.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "lamina/core/error.hpp"
#include "lamina/study/simulated_pipeline.hpp"
#include "train/plan_of.hpp"

namespace lamina {
namespace {

using ::testing::HasSubstr;

SimulatedPipeline chain(const std::string& yaml, std::vector<double> stage_s,
                        const ChainTraffic& traffic = {}) {
  ConfigText text = ConfigText::from_text(yaml, "text");
  ChainConfig config;
  Problems problems;
  text.fill(config, problems);
  text.raise(problems);
  SimulatedPipeline pipeline = make_chain(config, traffic);
  if (stage_s.size() == 1) stage_s.resize(static_cast<std::size_t>(pipeline.schedule.num_stages), stage_s[0]);
  pipeline.stage_s = std::move(stage_s);
  return pipeline;
}

TEST(Simulate, WithoutJitterTheSlowestStageSetsThePace) {
  for (const std::vector<double>& stage_s :
       {std::vector<double>{1, 1, 1, 1}, {4, 1, 2, 3}, {1, 2, 3, 4}, {1, 4, 2, 1}}) {
    const Simulation found = simulate(chain("pipeline: {workers: 4}", stage_s), 50, 10);
    const auto slowest = std::max_element(stage_s.begin(), stage_s.end());
    EXPECT_NEAR(found.step_s, *slowest, 1e-9);
    EXPECT_NEAR(found.efficiency, 1, 1e-9);
    EXPECT_EQ(found.slowest, slowest - stage_s.begin());
    EXPECT_THAT(found.limit, HasSubstr("worker " + std::to_string(found.slowest) + " "));
    EXPECT_NEAR(found.fill_s, stage_s[0] + stage_s[1] + stage_s[2] + stage_s[3], 1e-9);
  }
}

TEST(PlayedStep, IsTheSlowestStageOrLinkOfAStreamAndCountsTheBubbleEndToEnd) {
  StagePlan plan{.stages = {{.seconds = 3, .send_s = 1}, {.seconds = 3, .send_s = 1}, {.seconds = 3}}};
  EXPECT_NEAR(played_step_s(plan, {}, 100), 3, 1e-9);
  for (const std::int64_t count : {1, 4, 12})
    for (const char* schedule : {"gpipe", "1f1b"})
      EXPECT_NEAR(played_step_s(plan, {.schedule = schedule, .micro_batches = count}, 0),
                  3 * static_cast<double>(count + 2) / static_cast<double>(count), 1e-9)
          << schedule << ", " << count;

  plan.stages[1].send_s = 4;
  EXPECT_NEAR(played_step_s(plan, {}, 100), 4, 1e-9);
  plan.stages[1] = {.replicas = 2, .seconds = 1.5, .send_s = 1};
  EXPECT_NEAR(played_step_s(plan, {}, 100), 3, 1e-9);
  plan.stages[0].seconds = plan.stages[2].seconds = 1;
  EXPECT_NEAR(played_step_s(plan, {}, 100), 1.5, 1e-9);
}

TEST(PlayedStep, KnowsEachStagesForwardsFromItsBackwards) {
  const StagePlan plan{
      .stages = {{.seconds = 3, .forward_share = 0.5}, {.seconds = 3, .forward_share = 0.2}}};
  // Four forwards of the first stage and one of the second, then as many backwards the other way round.
  EXPECT_NEAR(played_step_s(plan, {.schedule = "gpipe", .micro_batches = 4}, 0),
              (4 * 1.5 + 0.6 + 4 * 2.4 + 1.5) / 4, 1e-9);
  EXPECT_NEAR(played_step_s(plan, {}, 0), 3, 1e-9);
}

TEST(PlayedStep, IsLongerWhereTimesDeviateAndMostWhereStagesTakeTurns) {
  const StagePlan plan{.stages = {{.seconds = 1}, {.seconds = 1}}};
  const auto ratio = [&](const PipelineConfig& pipeline) {
    return played_step_s(plan, pipeline, 0, 0.1) / played_step_s(plan, pipeline, 0, 0);
  };
  const double streaming = ratio({}), gpipe = ratio({.schedule = "gpipe", .micro_batches = 4});
  EXPECT_GT(streaming, 1);
  EXPECT_LT(streaming, 1.02);
  EXPECT_GT(gpipe, 1.02);
  EXPECT_LT(gpipe, 1.1);
}

TEST(Simulate, TwoBuffersALaneTakeTheJitterOfEightStages) {
  const auto efficiency = [](int buffers) {
    SimulatedPipeline pipeline =
        chain("pipeline: {workers: 8, buffers: " + std::to_string(buffers) + "}", {0.05});
    pipeline.deviation = 0.1;
    return simulate(pipeline, 4000, 100).efficiency;
  };
  const double with_two = efficiency(2), with_many = efficiency(16);
  EXPECT_GE(with_two, 0.98);
  EXPECT_LT(with_two, with_many);
  EXPECT_LT(with_many, 1.005);
}

TEST(Simulate, LagZeroTakesTurnsAndTheAutomaticLagCostsNothing) {
  const ChainTraffic traffic{.shadows = 3};
  const Simulation exact =
      simulate(chain("{pipeline: {workers: 4}, snapshots: {lag: 0}}", {1, 2, 3, 4}, traffic), 50, 5);
  EXPECT_NEAR(exact.step_s, 10, 1e-9);
  EXPECT_THAT(exact.limit, HasSubstr("worker 0 waits for snapshots in 90.0 %"));
  const Simulation automatic = simulate(chain("pipeline: {workers: 4}", {1, 2, 3, 4}, traffic), 50, 5);
  EXPECT_NEAR(automatic.step_s, 4, 1e-9);
}

TEST(Simulate, ASlowLinkSetsThePaceAndIsNamed) {
  SimulatedPipeline pipeline = chain("pipeline: {workers: 3}", {1}, {.message_bytes = 1000});
  pipeline.links.bytes_per_s = 500;
  const Simulation found = simulate(pipeline, 50, 10);
  EXPECT_NEAR(found.step_s, 2, 1e-9);
  EXPECT_THAT(found.limit, HasSubstr("link from worker 0 to worker 1"));
}

TEST(Simulate, SlowSnapshotsHoldTheLagUpButNotTheNewest) {
  for (const bool newest : {false, true}) {
    SimulatedPipeline pipeline =
        chain(newest ? "{pipeline: {workers: 3}, snapshots: {policy: latest}}" : "pipeline: {workers: 3}",
              {1}, {.part_bytes = 1000, .shadows = 1});
    pipeline.snapshot_links.bytes_per_s = 500;
    const Simulation found = simulate(pipeline, 200, 100);
    EXPECT_NEAR(found.step_s, newest ? 1 : 2, 1e-9);
    EXPECT_THAT(found.limit, HasSubstr(newest ? "computes" : "snapshots from stage"));
  }
}

TEST(Simulate, ReplicasShareAStagesWorkAndAddUpItsGradients) {
  SimulatedPipeline pipeline =
      chain("pipeline: {workers: 6, replicas: [1, 4, 1]}", {1, 4, 1}, {.gradient_bytes = 1000});
  EXPECT_NEAR(simulate(pipeline, 50, 10).step_s, 1, 1e-9);
  pipeline.links.bytes_per_s = 3000;
  const Simulation found = simulate(pipeline, 50, 10);
  EXPECT_NEAR(found.step_s, 1 + 2 * 0.25, 1e-9);  // two exchanges of three quarters of them
  EXPECT_THAT(found.limit, HasSubstr("4 replicas"));
}

TEST(Simulate, ASlowerWorkerTakesLonger) {
  SimulatedPipeline pipeline = chain("pipeline: {workers: 3}", {1});
  pipeline.speeds = {1, 1, 0.5};
  const Simulation found = simulate(pipeline, 50, 10);
  EXPECT_NEAR(found.step_s, 2, 1e-9);
  EXPECT_EQ(found.slowest, 2);
}

TEST(Simulate, EverySecondOfAWorkerHasAName) {
  SimulatedPipeline pipeline = chain("pipeline: {workers: 5, transport: nccl}", {1, 2, 1.5, 2.5, 1},
                                     {.message_bytes = 100, .part_bytes = 10, .shadows = 1});
  pipeline.deviation = 0.2;
  pipeline.links = {1000, 0.01};
  const Simulation found = simulate(pipeline, 300, 30);
  for (const SimulatedWorker& worker : found.workers)
    EXPECT_NEAR(worker.total_s() / static_cast<double>(found.steps), found.step_s, 0.05 * found.step_s);
}

TEST(Simulate, SaysTheSameTwiceAndAnotherThingOfAnotherSeed) {
  SimulatedPipeline pipeline = chain("pipeline: {workers: 4}", {1});
  pipeline.deviation = 0.1;
  const std::string first = to_json_text(simulate(pipeline, 100, 5), 0);
  EXPECT_EQ(to_json_text(simulate(pipeline, 100, 5), 0), first);
  pipeline.seed = 1;
  EXPECT_NE(to_json_text(simulate(pipeline, 100, 5), 0), first);
}

// Of P workers and M micro-batches: those that flush lose P-1 micro-batches a step, a v-th of that where a
// worker has v stages, and 2bw loses nothing.
TEST(Simulate, EndToEndSchedulesHaveTheirPublishedBubbles) {
  const auto step_s = [](const std::string& schedule, int workers, int stages, int micro_batches) {
    return simulate(chain("pipeline: {workers: " + std::to_string(workers) +
                              ", stages: " + std::to_string(stages) + ", schedule: " + schedule +
                              ", micro_batches: " + std::to_string(micro_batches) + "}",
                          {1}),
                    20, 5)
        .step_s;
  };
  for (const int micro_batches : {4, 8, 12}) {
    const double micro_s = 1.0 / micro_batches;
    EXPECT_NEAR(step_s("gpipe", 4, 4, micro_batches), (micro_batches + 3) * micro_s, 1e-9);
    EXPECT_NEAR(step_s("1f1b", 4, 4, micro_batches), (micro_batches + 3) * micro_s, 1e-9);
    EXPECT_NEAR(step_s("interleaved_1f1b", 4, 8, micro_batches), 2 * (micro_batches + 1.5) * micro_s, 1e-9);
    EXPECT_NEAR(step_s("2bw", 4, 4, micro_batches), 1, 1e-9);
    EXPECT_NEAR(step_s("data_parallel", 4, 1, micro_batches), 0.25, 1e-9);
  }
}

TEST(Simulate, ThousandsOfWorkersAreNoTrouble) {
  SimulatedPipeline pipeline = chain("pipeline: {workers: 1024}", {0.01}, {.shadows = 2});
  const Simulation found = simulate(pipeline, 50, 5);
  EXPECT_NEAR(found.efficiency, 1, 1e-9);
  const std::string table = to_table(found, 0);
  EXPECT_LT(std::count(table.begin(), table.end(), '\n'), 40);
  EXPECT_EQ(nlohmann::json::parse(to_json_text(found, 256)).at("workers").size(), 1024u);
}

TEST(Simulate, ARunsPlanBringsItsScheduleLanesAndSnapshots) {
  const RunPlan plan = plan_of(
      "{model: {backbone: resnet8}, partition: {modules: 3}, method: {framework: greedy, mlaan: {window: "
      "2}}, "
      "pipeline: {stages: 3, workers: 3, threads: 1, memory_format: contiguous}, snapshots: {lag: 0}, "
      "data: {name: synthetic}, train: {batch: 4}}");
  SimulatedPipeline pipeline = simulated(plan, /*measure_parts=*/true);
  ASSERT_EQ(pipeline.message_bytes.size(), 2u);
  const FeatureShape& out = plan.stages[0].modules.back().out;
  EXPECT_GE(pipeline.message_bytes[0], 4.0 * 4 * static_cast<double>(out.channels * out.height * out.width));
  double trained = 0;
  for (const ModuleSpec& module : plan.modules) trained += 4.0 * static_cast<double>(module.parameters());
  EXPECT_EQ(pipeline.gradient_bytes[0] + pipeline.gradient_bytes[1] + pipeline.gradient_bytes[2], trained);
  EXPECT_FALSE(pipeline.part_bytes.contains({0, 1}));
  EXPECT_GT(pipeline.part_bytes.at({1, 0}), 0) << "the second module's window reaches back";
  EXPECT_FALSE(pipeline.part_bytes.contains({1, 2}));
  pipeline.stage_s = {1, 1, 1};
  EXPECT_NEAR(simulate(pipeline, 20, 5).step_s, 3, 1e-9);
}

TEST(Simulate, AScheduleThatHangsInNcclsQueueIsRefused) {
  const std::string yaml =
      "{workers: 2, stages: 4, schedule: interleaved_1f1b, micro_batches: 4, transport: ";
  EXPECT_NO_THROW(chain("pipeline: " + yaml + "mpi}", {1}));
  try {
    chain("pipeline: " + yaml + "nccl}", {1});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::config);
    EXPECT_THAT(error.what(), HasSubstr("wait for one another"));
  }
}

TEST(Simulate, AChainWhoseReplicasDoNotAddUpIsRefused) {
  for (const char* yaml : {"pipeline: {workers: 4, replicas: [1, 2]}", "pipeline: {workers: 4, replicas: 3}",
                           "pipeline: {workers: 4, stages: 2}"})
    EXPECT_THROW(chain(yaml, {1}), Error) << yaml;
}

}  // namespace
}  // namespace lamina
