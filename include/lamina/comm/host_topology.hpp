#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lamina/comm/placement.hpp"

struct hwloc_topology;

namespace lamina {

/// What a host is made of, as hwloc finds it.
class HostTopology {
 public:
  /// This host. @throws Error{device} if hwloc cannot tell.
  HostTopology();

  /// A made-up one: hwloc's synthetic notation, such as "numa:2 core:8 pu:2", or its XML.
  explicit HostTopology(const std::string& description);

  /// All of its cores, neighbours beside each other.
  std::vector<Core> cores() const;

  /// The NUMA node beside a PCI device, such as "0000:81:00.0"; -1 if there is none, or several.
  int numa_node_of(const std::string& pci_bus_id) const;

  /// The processors that the calling thread may run on, rising.
  std::vector<int> usable_processors() const;

  enum class Scope { thread, process };
  /// Binds the calling thread, or all threads of this process; threads that they start inherit it. False if
  /// the system refuses.
  bool bind(const std::vector<int>& processors, Scope scope) const;

 private:
  struct Destroy {
    void operator()(hwloc_topology* topology) const;
  };
  std::unique_ptr<hwloc_topology, Destroy> topology_;
};

/// Processors as the system lists them, e.g. "0-3,8".
std::string processor_list(const std::vector<int>& processors);

}  // namespace lamina
