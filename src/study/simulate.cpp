#include "lamina/study/simulate.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "lamina/core/error.hpp"
#include "lamina/pipeline/jitter.hpp"

namespace lamina {
namespace {

double at_or(const std::vector<double>& values, int index, double otherwise) {
  return values.empty() ? otherwise : values.at(static_cast<std::size_t>(index));
}

bool computes(const Action& action) {
  return action.op == Op::compute || action.op == Op::forward || action.op == Op::backward;
}

// What a pipeline's actions and links take.
class Times {
 public:
  explicit Times(const SimulatedPipeline& pipeline)
      : pipeline_(pipeline), workers_(workers_by_stage(pipeline.schedule)) {}

  const std::vector<std::vector<int>>& workers() const { return workers_; }

  double mean_s(int worker, const Action& action) const {
    if (!computes(action)) return 0;
    const auto replicas = static_cast<double>(workers_[static_cast<std::size_t>(action.stage)].size());
    const double whole_s =
        at_or(pipeline_.stage_s, action.stage, 0) / replicas / at_or(pipeline_.speeds, worker, 1);
    if (action.op == Op::compute) return whole_s;
    const double measured = at_or(pipeline_.forward_share, action.stage, 0);
    const double forward_share = measured > 0 ? measured : pipeline_.supposed_forward_share;
    return whole_s * (action.op == Op::forward ? forward_share : 1 - forward_share) /
           pipeline_.schedule.micro_batches;
  }

  // The streams of a stage's first replica are those of a stage that sleeps (StageOptions).
  double drawn_s(int worker, const Action& action, std::int64_t packet) const {
    const double mean = mean_s(worker, action);
    if (mean == 0 || pipeline_.deviation == 0) return mean;
    const std::vector<int>& replicas = workers_[static_cast<std::size_t>(action.stage)];
    const auto replica = std::find(replicas.begin(), replicas.end(), worker) - replicas.begin();
    const std::uint64_t part = action.op == Op::backward ? 2U * static_cast<unsigned>(action.micro) + 1U
                                                         : 2U * static_cast<unsigned>(action.micro);
    return mean *
           jitter(pipeline_.deviation, {.seed = pipeline_.seed,
                                        .stream = static_cast<std::uint64_t>(action.stage) |
                                                  static_cast<std::uint64_t>(replica) << 24 | part << 40,
                                        .number = static_cast<std::uint64_t>(packet)});
  }

  LinkTime message(int lane) const { return pipeline_.links.time(at_or(pipeline_.message_bytes, lane, 0)); }

  // Two exchanges, in each of which a replica sends all chunks but its own (comm/group_sum.hpp).
  double sum_s(int stage) const {
    const auto replicas = static_cast<double>(workers_[static_cast<std::size_t>(stage)].size());
    const LinkTime exchange =
        pipeline_.links.time(at_or(pipeline_.gradient_bytes, stage, 0) * (replicas - 1) / replicas);
    return 2 * (exchange.occupied_s + exchange.latency_s);
  }

  LinkTime snapshot(int owner, int reader) const {
    const auto found = pipeline_.part_bytes.find({owner, reader});
    return pipeline_.snapshot_links.time(found == pipeline_.part_bytes.end() ? 0 : found->second);
  }

 private:
  const SimulatedPipeline& pipeline_;
  const std::vector<std::vector<int>> workers_;
};

void add(SimulatedWorker& worker, const Played& played) {
  const bool sends = played.action.op == Op::send;
  (sends ? worker.wait_room_s : worker.wait_input_s) += played.waited_s;
  worker.compute_s += played.busy_s;
  worker.replicas_s += played.replicas_s;
  worker.snapshot_s += played.snapshot_s;
}

std::vector<SimulatedWorker> idle_workers(const SimulatedPipeline& pipeline, const Times& times) {
  std::vector<SimulatedWorker> workers(pipeline.schedule.rounds.size());
  for (std::size_t stage = 0; stage < times.workers().size(); ++stage)
    for (const int worker : times.workers()[stage])
      workers[static_cast<std::size_t>(worker)].stages.push_back(static_cast<int>(stage));
  for (std::size_t worker = 0; worker < workers.size(); ++worker)
    for (const Action& action : pipeline.schedule.rounds[worker])
      workers[worker].own_s += times.mean_s(static_cast<int>(worker), action);
  return workers;
}

// What no schedule could be faster than, and its name.
struct Floor {
  double step_s = 0;
  std::string name;
};

Floor highest_floor(const SimulatedPipeline& pipeline, const Times& times, const Simulation& found) {
  const SimulatedWorker& slowest = found.workers[static_cast<std::size_t>(found.slowest)];
  Floor floor{slowest.own_s,
              fmt::format("worker {} (stages {}), which computes {:.3f} ms a step", found.slowest,
                          fmt::join(slowest.stages, ", "), 1e3 * slowest.own_s)};
  const auto raise = [&](double step_s, const auto& name) {
    if (step_s > floor.step_s) floor = {step_s, name(1e3 * step_s)};
  };
  for (std::size_t stage = 0; stage < times.workers().size(); ++stage) {
    const std::vector<int>& replicas = times.workers()[stage];
    const int number = static_cast<int>(stage);
    if (replicas.size() > 1)
      raise(found.workers[static_cast<std::size_t>(replicas.front())].own_s + times.sum_s(number),
            [&](double ms) {
              return fmt::format("stage {}, whose {} replicas compute and add up for {:.3f} ms a step", stage,
                                 replicas.size(), ms);
            });
  }
  std::vector<double> lane_s(pipeline.schedule.lanes.size(), 0.0);
  for (const std::vector<Action>& round : pipeline.schedule.rounds)
    for (const Action& action : round)
      if (action.op == Op::send)
        lane_s[static_cast<std::size_t>(action.lane)] += times.message(action.lane).occupied_s;
  for (std::size_t lane = 0; lane < lane_s.size(); ++lane)
    raise(lane_s[lane], [&](double ms) {
      const ScheduleLane& route = pipeline.schedule.lanes[lane];
      return fmt::format("the link from worker {} to worker {}, which carries {:.3f} ms a step", route.from,
                         route.to, ms);
    });
  const SnapshotTraffic& snapshots = pipeline.how.snapshots;
  for (std::size_t reader = 0; !snapshots.policy.newest_wins && reader < snapshots.reads.size(); ++reader)
    for (const int owner : snapshots.reads[reader])
      raise(times.snapshot(owner, static_cast<int>(reader)).occupied_s /
                static_cast<double>(snapshots.policy.every),
            [&](double ms) {
              return fmt::format("the snapshots from stage {} to stage {}, which take {:.3f} ms a step",
                                 owner, reader, ms);
            });
  return floor;
}

// What a worker waits for most, and who could do something about it: -1 if that is no neighbour.
struct LongestWait {
  double seconds = 0;
  const char* name = "";
  int worker = -1;
};

LongestWait longest_wait(const SimulatedPipeline& pipeline, const Simulation& found, int worker) {
  const SimulatedWorker& here = found.workers[static_cast<std::size_t>(worker)];
  LongestWait longest{here.snapshot_s, "for snapshots"};
  if (here.replicas_s > longest.seconds) longest = {here.replicas_s, "for the sum over its replicas"};
  for (const ScheduleLane& lane : pipeline.schedule.lanes) {
    if (lane.to == worker && here.wait_input_s > longest.seconds)
      longest = {here.wait_input_s, "for input", lane.from};
    if (lane.from == worker && here.wait_room_s > longest.seconds)
      longest = {here.wait_room_s, "for room in a lane", lane.to};
  }
  return longest;
}

// From the slowest worker to whom it waits for most, and so on, until that goes round or ends.
std::string chain_of_waits(const SimulatedPipeline& pipeline, const Simulation& found) {
  std::vector<std::string> links;
  std::vector<bool> seen(found.workers.size(), false);
  for (int worker = found.slowest; worker >= 0 && !seen[static_cast<std::size_t>(worker)];) {
    seen[static_cast<std::size_t>(worker)] = true;
    const LongestWait wait = longest_wait(pipeline, found, worker);
    links.push_back(
        fmt::format("worker {} waits {} in {:.1f} % of its time", worker, wait.name,
                    100 * wait.seconds / found.workers[static_cast<std::size_t>(worker)].total_s()));
    worker = wait.worker;
  }
  constexpr std::size_t shown = 4;
  if (links.size() > shown) links.erase(links.begin() + shown / 2, links.end() - shown / 2);
  return fmt::format("no worker and no link alone: {}", fmt::join(links, "; "));
}

std::string what_limits(const SimulatedPipeline& pipeline, const Times& times, const Simulation& found) {
  constexpr double near = 1.02;
  const Floor floor = highest_floor(pipeline, times, found);
  return found.step_s <= near * floor.step_s ? floor.name : chain_of_waits(pipeline, found);
}

}  // namespace

LinkTime LinkSpeed::time(double bytes) const {
  return {.occupied_s = bytes_per_s > 0 ? bytes / bytes_per_s : 0, .latency_s = latency_s};
}

Simulation simulate(const SimulatedPipeline& pipeline, std::int64_t steps, std::int64_t warmup) {
  if (steps < 1 || warmup < 1)
    throw Error(ErrorKind::contract,
                fmt::format("a simulation needs a step, and one before it, found {} and {}", steps, warmup));
  const Times times(pipeline);
  Simulation found{.steps = steps, .workers = idle_workers(pipeline, times)};
  PlayOptions how = pipeline.how;
  how.packets = warmup + steps;
  how.seconds = [&](int worker, const Action& action, std::int64_t packet) {
    return times.drawn_s(worker, action, packet);
  };
  how.link = [&](int lane) { return times.message(lane); };
  how.sum_s = [&](int stage) { return times.sum_s(stage); };
  how.snapshots.link = [&](int owner, int reader) { return times.snapshot(owner, reader); };
  double begin_s = 0, end_s = 0;
  play(pipeline.schedule, how, [&](const Played& played) {
    if (played.packet >= warmup) add(found.workers[static_cast<std::size_t>(played.worker)], played);
    if (played.action.op != Op::finish) return;
    if (played.packet == 0) found.fill_s = played.ended_s;
    if (played.packet == warmup - 1) begin_s = played.ended_s;
    end_s = played.ended_s;
  });
  found.step_s = (end_s - begin_s) / static_cast<double>(steps);
  const auto slowest =
      std::max_element(found.workers.begin(), found.workers.end(),
                       [](const SimulatedWorker& a, const SimulatedWorker& b) { return a.own_s < b.own_s; });
  found.slowest = static_cast<int>(slowest - found.workers.begin());
  found.efficiency = slowest->own_s / found.step_s;
  found.limit = what_limits(pipeline, times, found);
  return found;
}

}  // namespace lamina
