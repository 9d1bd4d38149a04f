#include "lamina/comm/host_topology.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "comm/expect_error.hpp"
#include "lamina/core/process.hpp"

namespace lamina {
namespace {

// Two nodes of one core each, a GPU beside the second, and a network card at neither.
constexpr const char* with_a_gpu = R"(<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE topology SYSTEM "hwloc2.dtd">
<topology version="2.0">
  <object type="Machine" os_index="0" cpuset="0x3" complete_cpuset="0x3" allowed_cpuset="0x3" nodeset="0x3" complete_nodeset="0x3" allowed_nodeset="0x3" gp_index="1">
    <object type="Package" os_index="0" cpuset="0x1" complete_cpuset="0x1" nodeset="0x1" complete_nodeset="0x1" gp_index="2">
      <object type="NUMANode" os_index="0" cpuset="0x1" complete_cpuset="0x1" nodeset="0x1" complete_nodeset="0x1" gp_index="3" local_memory="1073741824"/>
      <object type="Core" os_index="0" cpuset="0x1" complete_cpuset="0x1" nodeset="0x1" complete_nodeset="0x1" gp_index="4">
        <object type="PU" os_index="0" cpuset="0x1" complete_cpuset="0x1" nodeset="0x1" complete_nodeset="0x1" gp_index="5"/>
      </object>
    </object>
    <object type="Package" os_index="1" cpuset="0x2" complete_cpuset="0x2" nodeset="0x2" complete_nodeset="0x2" gp_index="6">
      <object type="NUMANode" os_index="1" cpuset="0x2" complete_cpuset="0x2" nodeset="0x2" complete_nodeset="0x2" gp_index="7" local_memory="1073741824"/>
      <object type="Core" os_index="1" cpuset="0x2" complete_cpuset="0x2" nodeset="0x2" complete_nodeset="0x2" gp_index="8">
        <object type="PU" os_index="1" cpuset="0x2" complete_cpuset="0x2" nodeset="0x2" complete_nodeset="0x2" gp_index="9"/>
      </object>
      <object type="Bridge" gp_index="10" bridge_type="0-1" depth="0" bridge_pci="0000:[80-8f]">
        <object type="PCIDev" gp_index="11" pci_busid="0000:81:00.0" pci_type="0302 [10de:2330] [10de:16c1] a1" pci_link_speed="0.000000"/>
      </object>
    </object>
    <object type="Bridge" gp_index="12" bridge_type="0-1" depth="0" bridge_pci="0000:[00-0f]">
      <object type="PCIDev" gp_index="13" pci_busid="0000:01:00.0" pci_type="0200 [8086:1572] [8086:0000] 02" pci_link_speed="0.000000"/>
    </object>
  </object>
</topology>
)";

TEST(HostTopology, ListsEveryCoreWithItsProcessorsAndItsNode) {
  const std::vector<Core> cores = HostTopology("numa:2 core:3 pu:2").cores();
  ASSERT_EQ(cores.size(), 6u);
  for (int core = 0; core < 6; ++core) {
    EXPECT_EQ(cores[core].processors, (std::vector{2 * core, 2 * core + 1}));
    EXPECT_EQ(cores[core].numa_node, core / 3);
  }
}

TEST(HostTopology, FindsTheNodeBesideAGpu) {
  const HostTopology topology(with_a_gpu);
  ASSERT_EQ(topology.cores().size(), 2u);
  EXPECT_EQ(topology.numa_node_of("0000:81:00.0"), 1);
  EXPECT_EQ(topology.numa_node_of("0000:01:00.0"), -1) << "beside the whole machine";
  EXPECT_EQ(topology.numa_node_of("0000:99:00.0"), -1) << "not there";
}

TEST(HostTopology, WhatIsNoTopologyIsRefused) {
  expect_error(ErrorKind::device, [] { HostTopology("a heap of sand"); });
}

TEST(HostTopology, OfThisHostHasTheProcessorsThatThisThreadMayUse) {
  const HostTopology here;
  std::vector<int> processors;
  for (const Core& core : here.cores())
    processors.insert(processors.end(), core.processors.begin(), core.processors.end());
  std::sort(processors.begin(), processors.end());
  const std::vector<int> usable = here.usable_processors();
  EXPECT_GE(static_cast<int>(usable.size()), usable_processors()) << "a quota may leave fewer at a time";
  EXPECT_TRUE(std::includes(processors.begin(), processors.end(), usable.begin(), usable.end()));
}

TEST(HostTopology, ABoundThreadsOwnThreadsAreBoundAndNobodyElse) {
  const HostTopology here;
  const std::vector<int> before = here.usable_processors();
  std::vector<int> of_thread, of_its_thread;
  std::thread([&] {
    EXPECT_TRUE(here.bind({before.back()}, HostTopology::Scope::thread));
    of_thread = here.usable_processors();
    std::thread([&] { of_its_thread = here.usable_processors(); }).join();
  }).join();
  EXPECT_EQ(of_thread, std::vector{before.back()});
  EXPECT_EQ(of_its_thread, of_thread);
  EXPECT_EQ(here.usable_processors(), before);
}

TEST(HostTopology, ABoundProcessTakesTheThreadsAlongThatItHas) {
  const HostTopology here;
  const std::vector<int> before = here.usable_processors();
  std::thread([&] { EXPECT_TRUE(here.bind({before.back()}, HostTopology::Scope::process)); }).join();
  EXPECT_EQ(here.usable_processors(), std::vector{before.back()});
  EXPECT_TRUE(here.bind(before, HostTopology::Scope::process));
  EXPECT_EQ(here.usable_processors(), before);
}

TEST(HostTopology, ProcessorsAreListedAsTheSystemDoes) {
  EXPECT_EQ(processor_list({}), "");
  EXPECT_EQ(processor_list({0, 1, 2, 3, 8}), "0-3,8");
}

}  // namespace
}  // namespace lamina
