#include "study/neighbours.hpp"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <ctime>
#include <thread>

#include "lamina/core/clock.hpp"
#include "train/plan_of.hpp"

namespace lamina {
namespace {

double cpu_s(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Of this process's other threads.
double others_cpu_s() {
  return cpu_s(CLOCK_PROCESS_CPUTIME_ID) - cpu_s(CLOCK_THREAD_CPUTIME_ID);
}

RunPlan two_stages() {
  return plan_of(
      "{model: {backbone: resnet8}, partition: {modules: 3}, method: {framework: dgl}, pipeline: {stages: 2, "
      "threads: 1}, data: {name: synthetic}, train: {batch: 4}}");
}

TEST(Neighbours, ComputeUntilTheyAreGone) {
  at::set_num_threads(1);  // so that there are no others but them
  const RunPlan plan = two_stages();
  double used_s = 0;
  {
    const Neighbours neighbours(plan, /*count=*/3);
    const double before_s = others_cpu_s();
    const Stopwatch watch;
    while (others_cpu_s() - before_s < 0.1 && watch.elapsed_s() < 60)
      std::this_thread::sleep_for(Seconds(0.001));
    used_s = others_cpu_s() - before_s;
  }
  EXPECT_GE(used_s, 0.1);
  const double gone_s = others_cpu_s();
  std::this_thread::sleep_for(Seconds(0.05));
  EXPECT_LT(others_cpu_s() - gone_s, 0.01);
}

TEST(Neighbours, OneOfThemRests) {
  at::set_num_threads(1);
  const RunPlan plan = two_stages();
  Neighbours neighbours(plan, /*count=*/1);
  for (const int stage : {0, 1, 1, 0}) {
    neighbours.compute_beside(stage);
    const Stopwatch watch;
    const double before_s = others_cpu_s();
    while (others_cpu_s() - before_s < 0.1 && watch.elapsed_s() < 60)
      std::this_thread::sleep_for(Seconds(0.001));
    const double used_s = others_cpu_s() - before_s;
    EXPECT_GE(used_s, 0.1) << "beside stage " << stage;
    EXPECT_LE(used_s, watch.elapsed_s() + 0.02) << "two compute beside stage " << stage;
  }
}

TEST(Neighbours, MayBeNone) {
  const RunPlan plan = two_stages();
  const double before_s = others_cpu_s();
  const Neighbours neighbours(plan, /*count=*/0);
  EXPECT_LT(others_cpu_s() - before_s, 0.01);
}

}  // namespace
}  // namespace lamina
