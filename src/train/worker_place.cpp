#include "worker_place.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "lamina/comm/device.hpp"
#include "lamina/comm/host_topology.hpp"
#include "lamina/comm/placement.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/log.hpp"
#include "lamina/core/process.hpp"
#include "lamina/train/summary.hpp"

namespace lamina {

using Json = nlohmann::json;

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Seat, host, machine, processors, device, device_node, quota)

namespace {

const std::map<std::string, Binding> bindings{
    {"none", Binding::none}, {"auto", Binding::nodes}, {"cores", Binding::cores}};

Seat find_seat(const HostTopology& topology, at::Device device) {
  Seat seat{.host = host_name(),
            .machine = machine_id(),
            .processors = topology.usable_processors(),
            .device = pci_bus_id(device),
            .quota = processor_quota().value_or(0)};
  if (!seat.device.empty()) seat.device_node = topology.numa_node_of(seat.device);
  return seat;
}

std::vector<Seat> gather(const Seat& own, Transport& transport, Seconds limit) {
  std::vector<Seat> seats;
  for (const std::string& seat : transport.all_gather(Json(own).dump(), limit))
    seats.push_back(Json::parse(seat).get<Seat>());
  return seats;
}

// All find the same; the first worker says it.
void check_devices(const std::vector<Seat>& seats, bool is_first) {
  try {
    require_own_devices(seats);
  } catch (const Error& error) {
    throw is_first ? error : Error(ErrorKind::peer_lost, error.what());
  }
}

// What this worker is to be bound to, and how many threads it has where that follows from it.
struct Allotment {
  std::vector<int> processors;
  int threads = 1;
};

// Given everybody's seats.
Allotment own_allotment(const HostTopology& topology, const std::vector<Seat>& seats, int worker,
                        Binding binding) {
  std::vector<Seat> here;
  std::size_t own = 0;
  for (std::size_t other = 0; other < seats.size(); ++other) {
    if (seats[other].machine != seats[worker].machine) continue;
    if (static_cast<int>(other) == worker) own = here.size();
    here.push_back(seats[other]);
  }
  const std::vector<std::vector<int>> places = place(topology.cores(), here, binding);
  for (std::size_t i = 0; i < here.size(); ++i)
    if (!places[i].empty()) here[i].processors = places[i];
  return {.processors = places[own], .threads = threads_each(here)};
}

void warn_of_affinity(std::int64_t threads, std::size_t num_processors) {
  if (threads > static_cast<std::int64_t>(num_processors))
    log_warning(fmt::format("pipeline.threads is {}, but this worker may run on {} processor(s) only",
                            threads, num_processors));
}

std::string stages_of(const WorkerGroup& group) {
  const int last = group.end_stage - 1;
  return group.first_stage == last ? fmt::format("stage {}", last)
                                   : fmt::format("stages {}-{}", group.first_stage, last);
}

}  // namespace

std::vector<WorkerPlace> take_places(RunPlan& plan, Transport& transport, Seconds limit) {
  const HostTopology topology;
  const Seat seat = find_seat(topology, plan.device);
  const std::vector<Seat> seats = gather(seat, transport, limit);
  if (plan.over_nccl) check_devices(seats, transport.worker() == 0);
  const auto [wanted, threads] =
      own_allotment(topology, seats, transport.worker(), bindings.at(plan.config.pipeline.bind));
  if (plan.over_mpi && plan.auto_threads) plan.config.pipeline.threads = threads;
  const auto scope = plan.over_mpi ? HostTopology::Scope::process : HostTopology::Scope::thread;
  const bool bound = !wanted.empty() && topology.bind(wanted, scope);
  if (!wanted.empty() && !bound)
    log_warning(
        fmt::format("the system refuses to bind this worker to processors {}", processor_list(wanted)));
  const std::vector<int>& processors = bound ? wanted : seat.processors;
  warn_of_affinity(*plan.config.pipeline.threads, processors.size());

  const WorkerPlace own{.host = seat.host,
                        .device = seat.device.empty()
                                      ? plan.device.str()
                                      : fmt::format("{} ({})", plan.device.str(), seat.device),
                        .numa_node = seat.device_node,
                        .processors = processor_list(processors),
                        .bound = bound};
  std::vector<WorkerPlace> places;
  for (const std::string& place : transport.all_gather(to_text(own), limit))
    places.push_back(worker_place(place));
  return places;
}

std::string text(const RunPlan& plan, const std::vector<WorkerPlace>& places) {
  std::string lines;
  for (std::size_t worker = 0; worker < places.size(); ++worker) {
    const WorkerPlace& place = places[worker];
    const std::string node = place.numa_node < 0 ? "" : fmt::format(" beside NUMA node {}", place.numa_node);
    lines += fmt::format("worker {} on {}: {}, {}{}, {} processors {}\n", worker, place.host,
                         stages_of(plan.group_of(static_cast<int>(worker))), place.device, node,
                         place.bound ? "bound to" : "may use", place.processors);
  }
  return lines;
}

void show(const RunPlan& plan, const std::vector<WorkerPlace>& places) {
  fmt::print("{}", text(plan, places));
  std::fflush(stdout);
}

}  // namespace lamina
