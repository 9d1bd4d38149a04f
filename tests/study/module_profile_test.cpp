#include "lamina/study/module_profile.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "lamina/core/process.hpp"
#include "lamina/study/memory.hpp"
#include "lamina/study/profile.hpp"
#include "temporary_directory.hpp"
#include "train/plan_of.hpp"

namespace lamina {
namespace {

using ::testing::HasSubstr;

// A stage whose modules cost something each, and more for every module before them that their windows reach.
struct Windows {
  int window;
  static double own(int module) { return 1 + 0.1 * module; }
  static double reach(int from, int to) { return 0.01 * (3 * from + to + 1); }
  static double shadow(int module) { return 0.3 + 0.02 * module; }

  double stage(int first, int last) const {
    double sum = 0;
    for (int module = first; module <= last; ++module) {
      sum += own(module);
      for (int to = std::max(first, module - window + 1); to < module; ++to) sum += reach(module, to);
    }
    return sum;
  }
  double shadows(int first, int last, int num_modules) const {
    double sum = 0;
    for (int module = last + 1; module <= std::min(last + window - 1, num_modules - 1); ++module) {
      sum += shadow(module);
      for (int to = std::max(first, module - window + 1); to <= last; ++to) sum += reach(module, to);
    }
    return sum;
  }
};

WindowProfile profile_of(const Windows& windows, int num_modules) {
  WindowProfile profile{.window = windows.window};
  for (int size = 1; size <= windows.window; ++size) {
    auto& runs = profile.runs.emplace_back(static_cast<std::size_t>(num_modules));
    for (int last = size - 1; last < num_modules; ++last)
      runs[static_cast<std::size_t>(last)].seconds = windows.stage(last - size + 1, last);
  }
  if (windows.window == 1) return profile;
  profile.with_shadows.resize(static_cast<std::size_t>(num_modules));
  for (int last = 0; last + 1 < num_modules; ++last) {
    const int first = std::max(0, last - windows.window + 2);
    profile.with_shadows[static_cast<std::size_t>(last)].seconds =
        windows.stage(first, last) + windows.shadows(first, last, num_modules);
  }
  return profile;
}

TEST(WindowProfile, RunsOfAsManyModulesAsAWindowSayWhatAnyStageCosts) {
  constexpr int num_modules = 9;
  for (const int window : {1, 2, 3, 4}) {
    const Windows windows{window};
    const WindowProfile profile = profile_of(windows, num_modules);
    for (int first = 0; first < num_modules; ++first)
      for (int last = first; last < num_modules; ++last) {
        EXPECT_NEAR(profile.cost(first, last, false).seconds, windows.stage(first, last), 1e-9);
        // Of a stage shorter than the window's reach, what the shadows cost is that of a longer one.
        if (last - first + 1 >= window - 1) {
          EXPECT_NEAR(profile.cost(first, last, true).seconds,
                      windows.stage(first, last) + windows.shadows(first, last, num_modules), 1e-9)
              << window << ": " << first << " to " << last;
        }
      }
  }
}

RunPlan small_plan(const std::string& backbone = "resnet8",
                   const std::string& method = "{framework: greedy, mlaan: {window: 2}}", int batch = 4,
                   int replicas = 1) {
  return plan_of("model: {backbone: " + backbone + "}\npartition: {modules: 3}\nmethod: " + method +
                 "\npipeline: {stages: 2, replicas: " + std::to_string(replicas) +
                 ", workers: " + std::to_string(2 * replicas) +
                 ", threads: 1}\ndata: {name: synthetic}\ntrain: {batch: " + std::to_string(batch) + "}\n");
}

RunPlan end_to_end_plan(const std::string& schedule, int micro_batches) {
  return plan_of(
      "model: {backbone: resnet8}\npartition: {modules: 3}\nmethod: {framework: e2e}\npipeline: "
      "{stages: 2, workers: 2, threads: 1, schedule: " +
      schedule + ", micro_batches: " + std::to_string(micro_batches) +
      "}\ndata: {name: synthetic}\ntrain: {batch: 4}\n");
}

TEST(ModuleProfile, IsTheSameBehindAFile) {
  const RunPlan plan = small_plan();
  const ModuleProfile profile = measure_profile(plan, {1, 2}, 2, /*neighbours=*/1);
  const TemporaryDirectory directory;
  write_profile(directory.path() / "profile.json", profile);
  const ModuleProfile read = read_profile(directory.path() / "profile.json", plan);
  EXPECT_EQ(read.of, profile.of);
  EXPECT_EQ(read.neighbours, 1);
  EXPECT_GT(profile.deviation, 0);
  EXPECT_EQ(read.deviation, profile.deviation);
  EXPECT_EQ(read.message_bytes, profile.message_bytes);
  EXPECT_EQ(read.gradient_bytes, profile.gradient_bytes);
  for (const std::int64_t window : {1, 2})
    for (int first = 0; first < 3; ++first)
      for (int last = first; last < 3; ++last)
        for (const bool lookahead : {false, true}) {
          const RunCost cost = profile.of_window(window).cost(first, last, lookahead);
          const RunCost again = read.of_window(window).cost(first, last, lookahead);
          EXPECT_EQ(again.seconds, cost.seconds);
          EXPECT_EQ(again.peak_bytes, cost.peak_bytes);
        }
  EXPECT_THROW(read.of_window(3), Error);
}

TEST(ModuleProfile, KnowsForwardsWhereTheyAreByThemselves) {
  const RunPlan plan = end_to_end_plan("1f1b", 2);
  const ModuleProfile profile = measure_profile(plan, {1}, 2);
  const TemporaryDirectory directory;
  const std::filesystem::path file = directory.path() / "profile.json";
  write_profile(file, profile);
  const RunCost cost = profile.of_window(1).cost(0, 2, false);
  EXPECT_GT(cost.forward_s, 0);
  EXPECT_LT(cost.forward_s, cost.seconds);
  EXPECT_EQ(read_profile(file, plan).of_window(1).cost(0, 2, false).forward_s, cost.forward_s);
  EXPECT_EQ(stage_problem(profile, 1, false, 2).cost(0, 2).forward_share, cost.forward_share());
  EXPECT_EQ(measure_profile(small_plan(), {2}, 1).of_window(2).cost(0, 2, true).forward_s, 0);
}

// Format 2 began without them.
TEST(ModuleProfile, ReadsAFileWithoutForwardsAndDeviation) {
  const RunPlan plan = end_to_end_plan("1f1b", 2);
  const TemporaryDirectory directory;
  const std::filesystem::path file = directory.path() / "profile.json";
  write_profile(file, measure_profile(plan, {1}, 2));
  auto json = nlohmann::json::parse(read_file(file));
  json.erase("deviation");
  for (auto& of_size : json["windows"][0]["runs"])
    for (auto& run : of_size) run.erase(3);
  write_file_atomically(file, json.dump());
  const ModuleProfile read = read_profile(file, plan);
  EXPECT_EQ(read.deviation, 0);
  EXPECT_EQ(read.of_window(1).cost(0, 2, false).forward_s, 0);
  EXPECT_GT(read.of_window(1).cost(0, 2, false).seconds, 0);
}

TEST(ModuleProfile, OfAnotherNetworkIsRefusedWithTheFieldThatDiffers) {
  const TemporaryDirectory directory;
  const std::filesystem::path file = directory.path() / "profile.json";
  ModuleProfile profile = measure_profile(small_plan(), {2}, 1);
  write_profile(file, profile);
  const auto message = [&](const RunPlan& plan) -> std::string {
    try {
      read_profile(file, plan);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::config);
      return error.what();
    }
    return "nothing was thrown";
  };
  EXPECT_EQ(message(small_plan()), "nothing was thrown");
  EXPECT_THAT(message(small_plan("resnet14")), HasSubstr("expected model.backbone: resnet14, found resnet8"));
  EXPECT_THAT(message(small_plan("resnet8", "{framework: dgl, mlaan: {window: 2}}")),
              HasSubstr("method.framework"));
  RunPlan other_images = small_plan();
  other_images.config.data.image = 64;
  EXPECT_THAT(message(other_images), HasSubstr("expected data.image: 64, found 224"));
  EXPECT_THAT(message(end_to_end_plan("1f1b", 1)), HasSubstr("expected method.framework: e2e, found greedy"));
  profile.message_bytes.pop_back();
  write_profile(file, profile);
  EXPECT_THAT(message(small_plan()), HasSubstr("3 modules"));
  write_file_atomically(file, "{\"of\": 3}");
  EXPECT_THAT(message(small_plan()), HasSubstr("expected a profile"));
  write_file_atomically(file, "{\"format\": 1}");
  EXPECT_THAT(message(small_plan()), HasSubstr("expected a profile of format 2, found 1"));
}

TEST(ModuleProfile, OfAnotherScheduleIsRefusedUnlessItIsTakenInProportion) {
  const TemporaryDirectory directory;
  const std::filesystem::path file = directory.path() / "profile.json";
  write_profile(file, measure_profile(end_to_end_plan("1f1b", 1), {1}, 1));
  EXPECT_NO_THROW(read_profile(file, end_to_end_plan("1f1b", 1)));
  for (const RunPlan& other : {end_to_end_plan("gpipe", 1), end_to_end_plan("1f1b", 2)}) {
    EXPECT_THROW(read_profile(file, other), Error);
    EXPECT_NO_THROW(read_profile(file, other, ProfiledBatch::in_proportion));
  }
}

// Bytes do not depend on the machine's mood, and grow with what is computed.
TEST(ModuleProfile, IsOfTheWholeBatchHoweverManyShareIt) {
  const std::string method = "{framework: greedy}";
  const auto peak = [](const RunPlan& plan) {
    return measure_profile(plan, {1}, 1).of_window(1).cost(0, 2, false).peak_bytes;
  };
  const double alone = peak(small_plan("resnet8", method, 16));
  EXPECT_EQ(peak(small_plan("resnet8", method, 16, 2)), alone);
}

TEST(ModuleProfile, CountsNoBytesOfTheNeighbours) {
  const ModuleProfile alone = measure_profile(small_plan(), {2}, 1);
  const ModuleProfile beside = measure_profile(small_plan(), {2}, 1, /*neighbours=*/2);
  EXPECT_EQ(alone.neighbours, 0);
  EXPECT_EQ(beside.neighbours, 2);
  for (const bool lookahead : {false, true}) {
    const RunCost cost = beside.of_window(2).cost(0, 1, lookahead);
    EXPECT_EQ(cost.peak_bytes, alone.of_window(2).cost(0, 1, lookahead).peak_bytes);
    EXPECT_GT(cost.seconds, 0);
  }
}

TEST(ModuleProfile, HasTheNeighboursThatAHostHasRoomFor) {
  const int processors = usable_processors();
  const auto of_threads = [](int threads, int stages) {
    return plan_of(fmt::format(
        "{{model: {{backbone: resnet14}}, partition: {{modules: 6}}, method: {{framework: dgl}}, pipeline: "
        "{{stages: {}, workers: 1, threads: {}}}, data: {{name: synthetic}}, train: {{batch: 4}}}}",
        stages, threads));
  };
  EXPECT_EQ(neighbours_of(of_threads(1, 6), {}), std::min(6, processors) - 1);
  EXPECT_EQ(neighbours_of(of_threads(1, 1), {}), 0);
  EXPECT_EQ(neighbours_of(of_threads(processors, 6), {}), 0);
  const MpiLaunch a_host_each{.size = 4, .local_size = 1, .launched = true};
  EXPECT_EQ(neighbours_of(of_threads(1, 4), a_host_each), 0);
  const MpiLaunch in_pairs{.size = 4, .local_size = 2, .launched = true};
  EXPECT_EQ(neighbours_of(of_threads(1, 4), in_pairs), std::min(2, processors) - 1);
}

// Bytes do not depend on the machine's mood, so they show what is in proportion to the batch.
TEST(ModuleProfile, OfAnotherBatchIsScaledWhereThatIsAskedFor) {
  const TemporaryDirectory directory;
  const std::filesystem::path file = directory.path() / "profile.json";
  const std::string method = "{framework: greedy, mlaan: {window: 2}}";
  const RunPlan large = small_plan("resnet8", method, 32);
  const ModuleProfile small = measure_profile(small_plan("resnet8", method, 16), {2}, 1);
  const ModuleProfile measured = measure_profile(large, {2}, 1);
  write_profile(file, small);
  EXPECT_THROW(read_profile(file, large), Error);
  const ModuleProfile scaled = read_profile(file, large, ProfiledBatch::in_proportion);
  EXPECT_EQ(scaled.message_bytes, measured.message_bytes);
  EXPECT_EQ(scaled.gradient_bytes, measured.gradient_bytes);
  const auto cost = [](const ModuleProfile& profile) { return profile.of_window(2).cost(0, 2, true); };
  EXPECT_EQ(cost(scaled).seconds, 2 * cost(small).seconds);
  EXPECT_NEAR(cost(scaled).peak_bytes / cost(measured).peak_bytes, 1, 0.03);
}

// Bytes do not depend on the machine's mood: what a stage of all modules needs is known from the runs, but
// for the EMAs of blocks that a run shadows and the whole stage owns.
TEST(ModuleProfile, KnowsTheMemoryOfAStageFromItsRuns) {
  const RunPlan plan = plan_of(
      "model: {backbone: resnet14}\npartition: {modules: 6}\nmethod: {framework: greedy, mlaan: {window: "
      "2}}\n"
      "pipeline: {stages: 2, workers: 1, threads: 1}\ndata: {name: synthetic}\ntrain: {batch: 8}\n");
  const ModuleProfile profile = measure_profile(plan, {2}, 1);
  const std::vector<ModuleMemory> measured = measure_memory(plan);
  for (const StageSpec& stage : plan.stages) {
    double peak = 0;
    for (const ModuleMemory& module : measured)
      if (module.stage == stage.index) peak = std::max(peak, static_cast<double>(module.peak_bytes));
    const RunCost cost = profile.of_window(2).cost(static_cast<int>(stage.modules.front().index),
                                                   static_cast<int>(stage.modules.back().index), true);
    EXPECT_GE(cost.peak_bytes, 0.95 * peak) << stage.index;
    EXPECT_LE(cost.peak_bytes, 1.25 * peak) << stage.index;
  }
}

TEST(SnapshotBytes, AreOfEveryVersionThatIsHeld) {
  for (const int lag : {0, 4}) {
    const RunPlan plan = plan_of(fmt::format(
        "{{model: {{backbone: resnet14}}, partition: {{modules: 6}}, method: {{framework: dgl, mlaan: "
        "{{window: "
        "3}}}}, pipeline: {{stages: 2, threads: 1}}, snapshots: {{lag: {}}}, data: {{name: synthetic}}, "
        "train: {{batch: 8}}}}",
        lag));
    const StageSpec& owner = plan.stages[1];
    const Stage stage(owner, plan.stage_options, plan.initializer());
    double bytes = 0;
    for (const std::string& part : owner.published)
      for (const at::Tensor& tensor : stage.part_tensors(part)) bytes += static_cast<double>(tensor.nbytes());
    ASSERT_GT(bytes, 0);
    for (const StageSpec& spec : plan.stages)  // the first is the only one to shadow them, and all of them
      EXPECT_EQ(snapshot_bytes(plan, 3, /*lookahead=*/true)(static_cast<int>(spec.modules.front().index),
                                                            static_cast<int>(spec.modules.back().index)),
                bytes * (lag + 1));
  }
}

TEST(StageProblem, CountsBuffersInAndOut) {
  const RunPlan plan = small_plan();
  const ModuleProfile profile = measure_profile(plan, {2}, 1);
  const StageProblem problem = stage_problem(profile, 2, /*lookahead=*/false, 3);
  EXPECT_EQ(problem.num_pieces, 3);
  const StageCost inner = problem.cost(1, 1), last = problem.cost(1, 2);
  EXPECT_EQ(inner.message_bytes, profile.message_bytes[1]);
  EXPECT_EQ(inner.bytes, profile.of_window(2).cost(1, 1, false).peak_bytes +
                             3 * (profile.message_bytes[0] + profile.message_bytes[1]));
  EXPECT_EQ(last.gradient_bytes, profile.gradient_bytes[1] + profile.gradient_bytes[2]);
  EXPECT_EQ(last.message_bytes, 0);
  EXPECT_GT(last.seconds, 0);
}

}  // namespace
}  // namespace lamina
