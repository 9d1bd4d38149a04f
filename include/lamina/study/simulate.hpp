#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lamina/pipeline/schedule_play.hpp"

namespace lamina {

/// What all links of one kind carry; 0 bytes a second: in no time.
struct LinkSpeed {
  double bytes_per_s = 0;
  double latency_s = 0;
  LinkTime time(double bytes) const;
};

/// A pipeline as far as its speed goes. Empty vectors: nothing travels, or takes no time.
struct SimulatedPipeline {
  Schedule schedule{};
  PlayOptions how{};                    ///< carrier, buffers, snapshots; simulate() sets its times
  std::vector<double> stage_s{};        ///< by stage: a step of the whole batch on one worker of speed 1
  std::vector<double> speeds{};         ///< by worker; empty: all 1
  std::vector<double> forward_share{};  ///< by stage, of its time, where backward is apart; 0: as supposed
  double supposed_forward_share = 1.0 / 3;             ///< where nobody has measured it
  double deviation = 0;                                ///< of every such time, as a part of it: see jitter()
  std::uint64_t seed = 0;                              ///< of the jitter
  std::vector<double> message_bytes{};                 ///< by lane
  std::vector<double> gradient_bytes{};                ///< by stage: what its replicas add up a step
  std::map<std::pair<int, int>, double> part_bytes{};  ///< by owner and reader: of the parts that go there
  LinkSpeed links{};                                   ///< of lanes, and of each replica
  LinkSpeed snapshot_links{};                          ///< from each owner to each reader
};

/// Where a worker's seconds went, as far as a simulation knows.
struct SimulatedWorker {
  std::vector<int> stages{};
  double own_s = 0;  ///< its stages' mean time a step
  double compute_s = 0;
  double wait_input_s = 0;
  double wait_room_s = 0;
  double replicas_s = 0;
  double snapshot_s = 0;
  double total_s() const { return compute_s + wait_input_s + wait_room_s + replicas_s + snapshot_s; }
};

struct Simulation {
  std::int64_t steps = 0;  ///< that count: those behind the warm-up
  double fill_s = 0;       ///< until the first packet was through
  double step_s = 0;       ///< steady
  double efficiency = 0;   ///< the slowest worker's own time / step_s
  int slowest = 0;         ///< that worker
  std::vector<SimulatedWorker> workers{};
  std::string limit{};  ///< what sets the pace, for people
};

/// Plays `warmup` and then `steps` packets, and looks at the latter. The same input gives the same result.
/// @throws Error{contract} if the workers would wait for one another forever.
Simulation simulate(const SimulatedPipeline& pipeline, std::int64_t steps, std::int64_t warmup);

/// For people, with `max_workers` lines of workers at most; and all of it for programs. `batch` 0: unknown.
std::string to_table(const Simulation& simulation, std::int64_t batch, std::size_t max_workers = 32);
std::string to_json_text(const Simulation& simulation, std::int64_t batch);

}  // namespace lamina
