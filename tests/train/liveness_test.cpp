#include "train/liveness.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "lamina/core/files.hpp"
#include "lamina/train/engine.hpp"
#include "temporary_directory.hpp"
#include "train/plan_of.hpp"

// A run of threads in which one does not get on.
namespace lamina {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::MatchesRegex;

// The timeout is long enough for workers to begin in, also under sanitizers.
RunPlan plan_in(const std::filesystem::path& folder, const std::string& timeout = "8") {
  return plan_of(
      fmt::format("model: {{backbone: resnet8}}\npartition: {{modules: 4}}\n"
                  "method: {{framework: greedy}}\n"
                  "pipeline: {{stages: 2, workers: 2, threads: 1, timeout_s: {}}}\n"
                  "data: {{name: synthetic, test_limit: 2}}\n"
                  "train: {{batch: 2, max_steps: 20, epochs: 1000, eval_every_steps: 20}}\nout: {}/run\n",
                  timeout, folder.string()));
}

// Worker 0 asks this before every packet: from the sixth on it does not come back before `end`.
std::function<bool()> stuck_until(std::function<bool()> end) {
  return [end = std::move(end), num_asked = 0]() mutable {
    if (++num_asked == 6)
      while (!end()) std::this_thread::yield();
    return false;
  };
}

TEST(Liveness, AStuckThreadIsNamedAndEverybodysPlaceAndStacksAreKept) {
  const TemporaryDirectory directory;
  const std::filesystem::path words = directory.path() / "run/where-they-were/worker-0.txt";
  RunOptions options;
  options.stop_requested =
      stuck_until([&] { return std::filesystem::exists(words) && read_file(words).ends_with("\n\n"); });
  try {
    run(plan_in(directory.path()), options);
    FAIL() << "nobody has noticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::timeout);
    EXPECT_THAT(error.what(), MatchesRegex("worker 0 stuck at step 4 in feed for [0-9]+ s"));
  }
  EXPECT_THAT(read_file(words),
              AllOf(HasSubstr("worker 0: stopped at step 4 in feed: worker 0 stuck"),
                    HasSubstr("worker 1: stopped at step 4 in recv from stage 0"),
                    HasSubstr("lane 0 to worker 1, output of stage 0: 5 messages sent"),
                    HasSubstr("lane 0 from worker 0, output of stage 0: 5 messages received"),
                    HasSubstr("lamina::Worker::run()"), HasSubstr("stuck_until")));
}

TEST(LivenessDeathTest, AProcessWhoseThreadNeverComesBackEndsAllTheSame) {
  const TemporaryDirectory directory;
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto run_for_ever = [&] {
    RunOptions options;
    options.mode = RunMode::bench;
    options.stop_requested = stuck_until([] { return false; });
    run(plan_in(directory.path()), options);
  };
  EXPECT_EXIT(run_for_ever(), testing::ExitedWithCode(8), "worker 0 stuck at step 4 in feed");
}

// The file of a checkpoint is a pipe that nobody reads, so who has saved it does not come to its end.
TEST(LivenessDeathTest, AnErrorStandsThoughWhoMetItIsFoundStuckBehindIt) {
  const TemporaryDirectory directory;
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto run_into_it = [&] {
    const std::filesystem::path partial = directory.path() / "run/checkpoints/step-00000002.partial";
    RunOptions options;
    options.stop_requested = [partial, num_asked = 0]() mutable -> bool {
      if (++num_asked == 1) {
        make_directory(partial);
        ::mkfifo((partial / "module-000.safetensors").c_str(), 0600);
      }
      if (num_asked == 6) throw Error(ErrorKind::storage, "no more");
      return false;
    };
    RunPlan plan = plan_in(directory.path());
    plan.config.checkpoint.every_steps = 2;
    run(plan, options);
  };
  EXPECT_EXIT(run_into_it(), testing::ExitedWithCode(5), "worker 0: no more");
}

TEST(Liveness, AnErrorOfAWorkersOwnIsWhatTheRunEndsWith) {
  const TemporaryDirectory directory;
  RunOptions options;
  options.stop_requested = []() -> bool { throw Error(ErrorKind::storage, "no more"); };
  try {
    run(plan_in(directory.path(), "60"), options);
    FAIL() << "it went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::storage);
  }
  EXPECT_FALSE(std::filesystem::exists(directory.path() / "run/where-they-were"));
}

}  // namespace
}  // namespace lamina
