#include "lamina/core/process.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "lamina/core/clock.hpp"

namespace lamina {
namespace {

TEST(Process, ResidentMemoryGrowsByWhatIsTouched) {
  constexpr double kMib = 64;
  const double before = resident_mib();
  const std::vector<char> block(static_cast<std::size_t>(kMib) << 20, 1);
  EXPECT_NEAR(resident_mib() - before, kMib, kMib / 4);
  EXPECT_EQ(block.back(), 1);
}

TEST(Process, PeakRemembersMemoryThatIsGone) {
  constexpr double kMib = 128;
  const double before = resident_mib();
  {
    const std::vector<char> block(static_cast<std::size_t>(kMib) << 20, 1);
    EXPECT_EQ(block.back(), 1);  // else a compiler may leave it out
  }
  EXPECT_GE(peak_resident_mib(), before + kMib / 2);
}

TEST(Process, UsableProcessorsFollowTheThreadsAffinity) {
  int usable = 0;
  std::thread bound([&] {
    cpu_set_t only_one;
    CPU_ZERO(&only_one);
    CPU_SET(::sched_getcpu(), &only_one);
    ASSERT_EQ(::sched_setaffinity(0, sizeof(only_one), &only_one), 0);
    usable = usable_processors();
  });
  bound.join();
  EXPECT_EQ(usable, 1);
  EXPECT_GE(usable_processors(), 1);
}

TEST(Process, IsNamed) {
  EXPECT_EQ(process_id(), ::getpid());
  EXPECT_FALSE(host_name().empty());
}

TEST(Process, ItsAgeGrowsWithTheClock) {
  const Stopwatch watch;
  const double before_s = process_age_s();
  const double after_s = process_age_s();
  constexpr double tick_s = 0.02;
  EXPECT_GE(before_s, 0);
  EXPECT_GE(after_s, before_s);
  EXPECT_LE(after_s - before_s, watch.elapsed_s() + tick_s);
}

}  // namespace
}  // namespace lamina
