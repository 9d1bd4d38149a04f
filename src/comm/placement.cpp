#include "lamina/comm/placement.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <string_view>
#include <utility>

#include "lamina/core/error.hpp"

namespace lamina {

namespace {

using Processors = std::vector<int>;

// The cores that workers may use, with those of their processors that they may use.
std::vector<Core> usable_cores(const std::vector<Core>& cores, const Processors& usable) {
  std::vector<Core> found;
  for (const Core& core : cores) {
    Core left{.processors = {}, .numa_node = core.numa_node};
    for (const int processor : core.processors)
      if (std::binary_search(usable.begin(), usable.end(), processor)) left.processors.push_back(processor);
    if (!left.processors.empty()) found.push_back(std::move(left));
  }
  return found;
}

std::vector<Core> cores_of_node(const std::vector<Core>& cores, int node) {
  std::vector<Core> found;
  std::copy_if(cores.begin(), cores.end(), std::back_inserter(found),
               [node](const Core& core) { return core.numa_node == node; });
  return found;
}

// What is dealt out: the processors of each core, or of each node.
std::vector<Processors> units(const std::vector<Core>& cores, Binding binding) {
  std::vector<Processors> found;
  std::map<int, std::size_t> node_units;
  for (const Core& core : cores) {
    const std::size_t unit = binding == Binding::cores
                                 ? found.size()
                                 : node_units.emplace(core.numa_node, found.size()).first->second;
    if (unit == found.size()) found.emplace_back();
    found[unit].insert(found[unit].end(), core.processors.begin(), core.processors.end());
  }
  return found;
}

// The share of the `index`-th of `of` workers.
Processors share(const std::vector<Processors>& units, std::size_t index, std::size_t of, Binding binding) {
  const bool enough = of <= units.size();
  std::size_t begin = index * units.size() / of;
  std::size_t end = enough ? (index + 1) * units.size() / of : begin + 1;
  if (!enough && binding == Binding::cores) begin = 0, end = units.size();
  Processors processors;
  for (; begin < end; ++begin) processors.insert(processors.end(), units[begin].begin(), units[begin].end());
  std::sort(processors.begin(), processors.end());
  return processors;
}

}  // namespace

std::vector<std::vector<int>> place(const std::vector<Core>& cores, const std::vector<Seat>& seats,
                                    Binding binding) {
  std::vector<Processors> places(seats.size());
  const bool is_bound_already = std::any_of(seats.begin(), seats.end(), [&](const Seat& seat) {
    return seat.processors != seats.front().processors;
  });
  if (seats.empty() || binding == Binding::none || is_bound_already) return places;
  const Processors& all = seats.front().processors;
  const std::vector<Core> usable = usable_cores(cores, all);

  std::map<int, std::vector<std::size_t>> neighbours;  // seats beside a node; -1: beside none in particular
  for (std::size_t i = 0; i < seats.size(); ++i) {
    const int node = seats[i].device_node;
    neighbours[cores_of_node(usable, node).empty() ? -1 : node].push_back(i);
  }
  for (const auto& [node, members] : neighbours)
    for (std::size_t m = 0; m < members.size(); ++m) {
      const std::size_t i = members[m];
      if (node == -1 && !seats[i].device.empty() && binding == Binding::nodes) continue;  // which is unknown
      places[i] = share(units(node == -1 ? usable : cores_of_node(usable, node), binding), m, members.size(),
                        binding);
      if (places[i] == all) places[i].clear();
    }
  return places;
}

// Containers of one machine have host names of their own.
int threads_each(const std::vector<Seat>& seats) {
  std::map<int, int> num_on;             // workers by processor
  std::map<std::string, int> num_under;  // by host name
  for (const Seat& seat : seats) {
    ++num_under[seat.host];
    for (const int processor : seat.processors) ++num_on[processor];
  }
  double least = std::numeric_limits<double>::max();
  for (const Seat& seat : seats) {
    double share = 0;
    for (const int processor : seat.processors) share += 1.0 / num_on[processor];
    if (seat.quota > 0) share = std::min(share, std::ceil(seat.quota) / num_under[seat.host]);
    least = std::min(least, share);
  }
  constexpr double rounding = 1e-6;  // three thirds may come to less than 1
  return std::max(1, static_cast<int>(least + rounding));
}

void require_own_devices(const std::vector<Seat>& seats) {
  const char* shared = std::getenv("NCCL_MULTI_RANK_GPU_ENABLE");
  if (shared && std::string_view(shared) == "1") return;
  std::map<std::pair<std::string, std::string>, std::size_t> owners;  // by machine and device
  for (std::size_t worker = 0; worker < seats.size(); ++worker) {
    const Seat& seat = seats[worker];
    if (seat.device.empty()) continue;
    const auto [owner, is_own] = owners.emplace(std::pair(seat.machine, seat.device), worker);
    if (is_own) continue;
    throw Error(
        ErrorKind::device,
        fmt::format("workers {} and {} on {} have the same GPU, {}, and over NCCL each needs one of its "
                    "own: start no more workers there than it has GPUs, and let CUDA_VISIBLE_DEVICES "
                    "show each rank all of them, or one that it shows to no other; or try it on one with "
                    "NCCL_MULTI_RANK_GPU_ENABLE=1, which NCCL 2.30 and later know",
                    owner->second, worker, seat.host, seat.device));
  }
}

}  // namespace lamina
