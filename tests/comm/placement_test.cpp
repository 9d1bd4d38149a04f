#include "lamina/comm/placement.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "comm/expect_error.hpp"
#include "lamina/comm/host_topology.hpp"

namespace lamina {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::IsEmpty;
using Places = std::vector<std::vector<int>>;

std::vector<int> all_of(const std::vector<Core>& cores) {
  std::vector<int> processors;
  for (const Core& core : cores)
    processors.insert(processors.end(), core.processors.begin(), core.processors.end());
  std::sort(processors.begin(), processors.end());
  return processors;
}

std::vector<Seat> seats_on(const std::vector<int>& processors, std::size_t num) {
  return std::vector<Seat>(num, Seat{.host = "n1", .machine = "m1", .processors = processors});
}

// Two nodes of four cores of two processors: 0-7 and 8-15.
const std::vector<Core> two_nodes = HostTopology("numa:2 core:4 pu:2").cores();

Places placed(const std::vector<Core>& cores, std::size_t num, Binding binding) {
  return place(cores, seats_on(all_of(cores), num), binding);
}

std::vector<Seat> beside(const std::vector<int>& nodes) {
  std::vector<Seat> seats = seats_on(all_of(two_nodes), nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    seats[i].device = fmt::format("0000:{:02}:00.0", i);
    seats[i].device_node = nodes[i];
  }
  return seats;
}

std::vector<int> range(int begin, int end) {
  std::vector<int> numbers;
  for (; begin < end; ++begin) numbers.push_back(begin);
  return numbers;
}

TEST(Place, NodesAreSharedOutInRuns) {
  EXPECT_THAT(placed(two_nodes, 2, Binding::nodes), ElementsAre(range(0, 8), range(8, 16)));
  EXPECT_THAT(placed(two_nodes, 4, Binding::nodes),
              ElementsAre(range(0, 8), range(0, 8), range(8, 16), range(8, 16)));
  const std::vector<Core> eight_nodes = HostTopology("numa:8 core:2 pu:1").cores();
  EXPECT_THAT(placed(eight_nodes, 3, Binding::nodes), ElementsAre(range(0, 4), range(4, 10), range(10, 16)));
}

TEST(Place, WhereThereIsNothingToChooseNobodyIsBound) {
  const std::vector<Core> one_node = HostTopology("core:4 pu:2").cores();
  EXPECT_THAT(placed(one_node, 3, Binding::nodes), Each(IsEmpty()));
  EXPECT_THAT(placed(two_nodes, 1, Binding::nodes), Each(IsEmpty()));
  EXPECT_THAT(placed(two_nodes, 1, Binding::cores), Each(IsEmpty()));
  EXPECT_THAT(placed(two_nodes, 2, Binding::none), Each(IsEmpty()));
  EXPECT_THAT(place(two_nodes, {}, Binding::cores), IsEmpty());
}

TEST(Place, EveryShareOfCoresIsARunAndFairAndWhole) {
  const std::vector<Core> cores = HostTopology("numa:2 core:7 pu:2").cores();
  for (std::size_t num = 2; num <= cores.size(); ++num) {
    const Places places = placed(cores, num, Binding::cores);
    std::vector<int> joined;
    std::size_t least = cores.size(), most = 0;
    for (const std::vector<int>& each : places) {
      EXPECT_EQ(each, range(each.front(), each.back() + 1));
      least = std::min(least, each.size());
      most = std::max(most, each.size());
      joined.insert(joined.end(), each.begin(), each.end());
    }
    EXPECT_EQ(joined, all_of(cores)) << num << " workers";
    EXPECT_LE(most - least, 2u) << "a core's processors";
  }
}

TEST(Place, MoreWorkersThanCoresAreLeftToTheSystem) {
  EXPECT_THAT(placed(two_nodes, 9, Binding::cores), Each(IsEmpty()));
}

TEST(Place, AWorkerGoesToTheNodeOfItsGpuInWhateverOrder) {
  EXPECT_THAT(place(two_nodes, beside({1, 0, 1}), Binding::nodes),
              ElementsAre(range(8, 16), range(0, 8), range(8, 16)));
}

TEST(Place, CoresOfANodeAreSharedByTheWorkersWhoseGpusAreThere) {
  EXPECT_THAT(place(two_nodes, beside({1, 0, 1}), Binding::cores),
              ElementsAre(range(8, 12), range(0, 8), range(12, 16)));
}

TEST(Place, AGpuWhoseNodeIsUnknownOrNotOursBindsNobody) {
  EXPECT_THAT(place(two_nodes, beside({-1, 0}), Binding::nodes), ElementsAre(IsEmpty(), range(0, 8)));
  std::vector<Seat> seats = beside({1, 1});
  for (Seat& seat : seats) seat.processors = range(0, 8);  // a container without the GPUs' node
  EXPECT_THAT(place(two_nodes, seats, Binding::nodes), Each(IsEmpty()));
}

TEST(Place, OnlyWhatWorkersMayUseIsSharedOut) {
  EXPECT_THAT(place(two_nodes, seats_on({1, 2, 3, 8, 15}, 2), Binding::cores),
              ElementsAre(std::vector{1, 2, 3}, std::vector{8, 15}));
}

TEST(Place, WhomALauncherHasBoundStays) {
  std::vector<Seat> seats = seats_on({0, 1}, 2);
  seats[1].processors = {2, 3};
  EXPECT_THAT(place(two_nodes, seats, Binding::cores), Each(IsEmpty()));
}

TEST(ThreadsEach, ProcessorsThatAllMayUseAreShared) {
  EXPECT_EQ(threads_each(seats_on(range(0, 8), 1)), 8);
  EXPECT_EQ(threads_each(seats_on(range(0, 8), 3)), 2);
  for (int num = 1; num <= 64; ++num) {
    EXPECT_EQ(threads_each(seats_on(range(0, 5 * num), static_cast<std::size_t>(num))), 5) << num;
    EXPECT_EQ(threads_each(seats_on(range(0, num - 1), static_cast<std::size_t>(num))), 1) << num;
  }
}

TEST(ThreadsEach, WhoIsBoundHasItsProcessorsToItself) {
  std::vector<Seat> seats = seats_on(range(0, 8), 2);
  seats[1].processors = range(8, 16);
  EXPECT_EQ(threads_each(seats), 8);
  seats.insert(seats.end(), {seats[0], seats[1]});  // two beside each node
  EXPECT_EQ(threads_each(seats), 4);
  seats[3].processors = range(0, 16);
  EXPECT_EQ(threads_each(seats), 2) << "three share the first node";
}

TEST(ThreadsEach, AllHaveAsManyAsTheOneWithTheLeast) {
  std::vector<Seat> seats = seats_on(range(0, 6), 2);
  seats[1].processors = range(6, 8);
  EXPECT_EQ(threads_each(seats), 2);
}

TEST(ThreadsEach, AQuotaIsSharedByTheWorkersOfItsContainer) {
  std::vector<Seat> seats = seats_on(range(0, 64), 4);
  for (Seat& seat : seats) seat.quota = 7.5;
  EXPECT_EQ(threads_each(seats), 2);
  for (std::size_t i = 0; i < seats.size(); ++i) seats[i].host = fmt::format("pod{}", i);
  EXPECT_EQ(threads_each(seats), 8);
  for (Seat& seat : seats) seat.quota = 0.5;
  EXPECT_EQ(threads_each(seats), 1);
}

TEST(RequireOwnDevices, TwoRanksOnOneGpuAreNamedWithWhatToDo) {
  std::vector<Seat> seats = beside({0, 0, 1, 1});
  EXPECT_NO_THROW(require_own_devices(seats));
  seats[3].device = seats[1].device;
  try {
    require_own_devices(seats);
    FAIL() << "they were accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::device);
    for (const char* words : {"workers 1 and 3 on n1", "0000:01:00.0", "CUDA_VISIBLE_DEVICES"})
      EXPECT_THAT(error.what(), testing::HasSubstr(words));
  }
}

TEST(RequireOwnDevices, OneIsSharedWhereNcclIsToldTo) {
  std::vector<Seat> seats = beside({0, 0});
  seats[1].device = seats[0].device;
  ASSERT_EQ(setenv("NCCL_MULTI_RANK_GPU_ENABLE", "0", 1), 0);
  EXPECT_THROW(require_own_devices(seats), Error);
  ASSERT_EQ(setenv("NCCL_MULTI_RANK_GPU_ENABLE", "1", 1), 0);
  EXPECT_NO_THROW(require_own_devices(seats));
  unsetenv("NCCL_MULTI_RANK_GPU_ENABLE");
}

TEST(RequireOwnDevices, OtherMachinesAndCpusMayLookAlike) {
  std::vector<Seat> seats = beside({0, 0});
  seats[1].device = seats[0].device;
  seats[1].machine = "m2";
  EXPECT_NO_THROW(require_own_devices(seats));
  EXPECT_NO_THROW(require_own_devices(seats_on({0}, 2)));
}

}  // namespace
}  // namespace lamina
