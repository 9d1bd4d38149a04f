#include "lamina/comm/host_topology.hpp"

#include <fmt/format.h>
#include <hwloc.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "lamina/core/error.hpp"

namespace lamina {

namespace {

using Bitmap = std::unique_ptr<hwloc_bitmap_s, decltype(&hwloc_bitmap_free)>;

Bitmap bitmap_of(const std::vector<int>& indices) {
  Bitmap bitmap(hwloc_bitmap_alloc(), hwloc_bitmap_free);
  for (const int index : indices) hwloc_bitmap_set(bitmap.get(), static_cast<unsigned>(index));
  return bitmap;
}

std::vector<int> indices_of(hwloc_const_bitmap_t bitmap) {
  std::vector<int> indices;
  for (int i = hwloc_bitmap_first(bitmap); i != -1; i = hwloc_bitmap_next(bitmap, i)) indices.push_back(i);
  return indices;
}

void check(int result, const char* call) {
  if (result != 0) throw Error(ErrorKind::device, fmt::format("hwloc: {}: {}", call, std::strerror(errno)));
}

// hwloc leaves PCI devices out unless it is asked for them. The system lists them; libpciaccess does so too,
// and loses memory. Where that is a plugin which is not installed, hwloc knows nothing of its name.
void load(hwloc_topology_t topology) {
  const int result = hwloc_topology_set_components(topology, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "pci");
  if (result != 0 && errno != EINVAL) check(result, "components");
  for (const hwloc_obj_type_t type : {HWLOC_OBJ_BRIDGE, HWLOC_OBJ_PCI_DEVICE})
    check(hwloc_topology_set_type_filter(topology, type, HWLOC_TYPE_FILTER_KEEP_IMPORTANT), "filter");
  check(hwloc_topology_load(topology), "load");
}

hwloc_topology_t initialised() {
  hwloc_topology_t topology = nullptr;
  check(hwloc_topology_init(&topology), "init");
  return topology;
}

}  // namespace

void HostTopology::Destroy::operator()(hwloc_topology* topology) const {
  hwloc_topology_destroy(topology);
}

HostTopology::HostTopology() : topology_(initialised()) {
  load(topology_.get());
}

HostTopology::HostTopology(const std::string& description) : topology_(initialised()) {
  if (description.starts_with('<'))
    check(hwloc_topology_set_xmlbuffer(topology_.get(), description.c_str(),
                                       static_cast<int>(description.size()) + 1),
          "XML");
  else
    check(hwloc_topology_set_synthetic(topology_.get(), description.c_str()), "synthetic");
  load(topology_.get());
}

std::vector<Core> HostTopology::cores() const {
  const hwloc_topology_t topology = topology_.get();
  // Some virtual machines tell of hardware threads alone.
  const hwloc_obj_type_t type =
      hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
  std::vector<Core> cores;
  for (hwloc_obj_t each = nullptr; (each = hwloc_get_next_obj_by_type(topology, type, each));)
    cores.push_back({.processors = indices_of(each->cpuset), .numa_node = hwloc_bitmap_first(each->nodeset)});
  return cores;
}

int HostTopology::numa_node_of(const std::string& pci_bus_id) const {
  const hwloc_obj_t device = hwloc_get_pcidev_by_busidstring(topology_.get(), pci_bus_id.c_str());
  if (!device) return -1;
  const hwloc_obj_t beside = hwloc_get_non_io_ancestor_obj(topology_.get(), device);
  return hwloc_bitmap_weight(beside->nodeset) == 1 ? hwloc_bitmap_first(beside->nodeset) : -1;
}

std::vector<int> HostTopology::usable_processors() const {
  const Bitmap processors = bitmap_of({});
  check(hwloc_get_cpubind(topology_.get(), processors.get(), HWLOC_CPUBIND_THREAD), "get_cpubind");
  return indices_of(processors.get());
}

bool HostTopology::bind(const std::vector<int>& processors, Scope scope) const {
  const int flags = scope == Scope::thread ? HWLOC_CPUBIND_THREAD : HWLOC_CPUBIND_PROCESS;
  return hwloc_set_cpubind(topology_.get(), bitmap_of(processors).get(), flags) == 0;
}

std::string processor_list(const std::vector<int>& processors) {
  char* text = nullptr;
  if (hwloc_bitmap_list_asprintf(&text, bitmap_of(processors).get()) < 0) return {};
  const std::unique_ptr<char, void (*)(void*)> owned(text, std::free);
  return text;
}

}  // namespace lamina
