#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lamina/pipeline/schedule.hpp"

namespace lamina {

/// Schedules that train end to end, with gradients that flow back (src/README.md, "The way of one batch end
/// to end"). Of P workers, 0 is the first; a step has M micro-batches.
///
/// gpipe             all forwards, then all backwards (Huang et al. 2019).
/// 1f1b              worker p begins with P-1-p forwards, then one backward follows each forward: it never
/// holds
///                   more than P-p micro-batches (Narayanan et al. 2019, 2021: "PipeDream-Flush").
/// interleaved_1f1b  the same over stages dealt out like cards, stage s to worker s mod P, so that the
/// pipeline
///                   fills in smaller steps (Narayanan et al. 2021). M is a multiple of P.
/// 2bw               1f1b that never drains: the backwards that a step leaves over are done among the next
/// step's
///                   forwards, which use parameters of one step ago (Narayanan et al. 2021, "PipeDream-2BW").
///                   M is at least P-1.
/// data_parallel     one stage, of which all workers are replicas; micro-batches add up in place.
std::vector<std::string> end_to_end_schedule_names();

/// Whether workers may share a stage: under streaming and data_parallel, where all that do act alike.
bool may_share_stages(const std::string& schedule);

/// Whether the schedule deals several stages out to each worker, which are not neighbours.
bool deals_stages_out(const std::string& schedule);

/// The workers of interleaved_1f1b, which deals the stages out by itself. `replicas`: of each group, as
/// make_groups() takes them. @throws Error{config} for stages or replicas that it cannot do with.
std::vector<WorkerGroup> interleaved_groups(int num_stages, const std::vector<std::int64_t>& replicas);

/// @throws Error{contract} for an unknown name; Error{config} for replicas, workers, stages or micro-batches
/// that it cannot do with.
Schedule end_to_end_schedule(const std::string& name, const std::vector<WorkerGroup>& groups,
                             int micro_batches);

/// That, or streaming_schedule() for streaming, which has no use for micro-batches.
Schedule make_schedule(const std::string& name, const std::vector<WorkerGroup>& groups, int micro_batches);

/// What a worker does for each kind of packet, from the second action on: the first is that of its round.
struct WorkerRounds {
  std::vector<Action> first{};  ///< a training step with none before it still open
  std::vector<Action> next{};   ///< a training step
  std::vector<Action> pass{};   ///< an evaluation, a checkpoint, the stop
  std::vector<Action> drain{};  ///< a flush: it goes on before anybody waits, and then the open step is ended

  /// True if a step is left open for the next.
  bool leaves_open() const { return first.size() != next.size(); }
};
WorkerRounds worker_rounds(const Schedule& schedule, int worker);

}  // namespace lamina
