#include "lamina/core/process.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "lamina/core/clock.hpp"
#include "temporary_directory.hpp"

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

// The folders in which a system tells of its control groups.
class ProcessorQuota : public ::testing::Test {
 protected:
  void tell(const std::string& path, const std::string& text) {
    const std::filesystem::path file = root_.path() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text << "\n";
  }
  std::optional<double> quota() const { return processor_quota(root_.path()); }

 private:
  const TemporaryDirectory root_;
};

TEST_F(ProcessorQuota, OfAContainerIsInTheFolderThatItSees) {
  tell("proc/self/cgroup", "0::/");
  EXPECT_EQ(quota(), std::nullopt) << "a machine of its own";
  tell("sys/fs/cgroup/cpu.max", "max 100000");
  EXPECT_EQ(quota(), std::nullopt);
  tell("sys/fs/cgroup/cpu.max", "750000 100000");
  EXPECT_EQ(quota(), 7.5);
}

TEST_F(ProcessorQuota, IsTheLeastOfAGroupAndThoseThatItIsPartOf) {
  tell("proc/self/cgroup", "0::/pods/pod/container");
  tell("sys/fs/cgroup/pods/cpu.max", "6400000 100000");
  tell("sys/fs/cgroup/pods/pod/cpu.max", "400000 50000");
  tell("sys/fs/cgroup/pods/pod/container/cpu.max", "max 100000");
  EXPECT_EQ(quota(), 8);
  tell("sys/fs/cgroup/pods/pod/container/cpu.max", "50000 100000");
  EXPECT_EQ(quota(), 0.5);
}

TEST_F(ProcessorQuota, OfVersion1IsTheCpuControllers) {
  tell("proc/self/cgroup", "9:name=systemd:/\n4:cpuset,memory:/docker/1f\n3:cpuacct,cpu:/docker/1f\n0::/");
  tell("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000");
  tell("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1");
  EXPECT_EQ(quota(), std::nullopt);
  tell("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000");  // its name is only the host's
  EXPECT_EQ(quota(), 2);
  tell("sys/fs/cgroup/cpu/docker/1f/cpu.cfs_period_us", "100000");
  tell("sys/fs/cgroup/cpu/docker/1f/cpu.cfs_quota_us", "150000");
  EXPECT_EQ(quota(), 1.5);
}

TEST_F(ProcessorQuota, WhatTellsNothingLimitsNothing) {
  EXPECT_EQ(quota(), std::nullopt);
  tell("proc/self/cgroup", "\nnothing\n:\n7:cpu\n0::/a");
  tell("sys/fs/cgroup/a/cpu.max", "");
  EXPECT_EQ(quota(), std::nullopt);
  tell("sys/fs/cgroup/a/cpu.max", "100000 0");
  EXPECT_EQ(quota(), std::nullopt);
}

TEST(Process, NoMoreProcessorsAreUsableThanTheQuotaPaysFor) {
  EXPECT_LT(usable_processors(), processor_quota().value_or(usable_processors()) + 1);
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
