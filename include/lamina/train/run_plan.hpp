#pragma once

#include <string>
#include <vector>

#include "lamina/comm/mpi.hpp"
#include "lamina/comm/transport.hpp"
#include "lamina/data/open.hpp"
#include "lamina/pipeline/schedule_play.hpp"
#include "lamina/pipeline/snapshot_policy.hpp"
#include "lamina/pipeline/stage.hpp"
#include "lamina/pipeline/stage_cut.hpp"
#include "lamina/train/run_config.hpp"

namespace lamina {

/// A configuration worked out: every "auto" resolved, the network cut, the stages dealt out. Pure data, the
/// same on every worker.
struct RunPlan {
  RunConfig config;
  DataTraits data;
  Backbone backbone;
  std::vector<ModuleSpec> modules;
  std::vector<StageSpec> stages;
  StageOptions stage_options;
  SnapshotPolicy snapshots;
  std::vector<WorkerGroup> groups;  ///< of workers that own the same stages, in the stages' order
  Schedule schedule;
  std::vector<LaneSpec> lanes;
  at::Device device{at::kCPU};  ///< that this process computes on
  int devices_needed = 1;       ///< by this host's workers; threads of one process share one
  bool over_nccl = false;       ///< activations and gradients; the rest is agreed over MPI
  bool over_mpi = false;
  bool auto_threads = false;  ///< pipeline.threads was auto; over MPI it is settled as the run begins

  /// The worker that owns a stage.
  const WorkerGroup& group_of(int worker) const;
  /// The workers that hold replicas of a stage; the first publishes and saves it.
  const WorkerGroup& owners_of(int stage) const;
  /// Which of its stages' replicas a worker is.
  Replica replica_of(int worker) const;
  /// The worker that finishes the packets.
  int sink() const { return groups.back().first_worker; }
  /// The stage that publishes a part. @throws Error{contract} if none does.
  const StageSpec& owner_of(const std::string& part) const;
  /// True if some head shows the image, so that packets carry it.
  bool needs_image() const;
  bool is_end_to_end() const { return stage_options.micro_batches > 0; }
  int num_workers() const { return groups.back().first_worker + groups.back().replicas; }
  at::MemoryFormat format() const;
  /// How this plan's schedule is played: its carrier, buffers and snapshots; nothing takes time.
  PlayOptions play_options() const;
  /// First values as every run of this plan has them; `given` tensors take their place.
  Initializer initializer(at::ScalarType dtype = at::kFloat,
                          std::shared_ptr<const GivenTensors> given = nullptr) const;
};

/// @throws Error{config} for what cannot be: more workers than stages, K larger than the blocks, mpirun's -n
/// unlike an explicit `workers`, ...
RunPlan make_run_plan(RunConfig config, const MpiLaunch& launch);

/// The stages of a worker, with their tensors; nobody else's are made but shadows. `given` tensors take the
/// place of first values.
std::vector<Stage> make_stages(const RunPlan& plan, int worker,
                               std::shared_ptr<const GivenTensors> given = nullptr,
                               at::ScalarType dtype = at::kFloat);

/// @throws Error{config} if a training batch of `samples` leaves a batch norm one value a channel, naming the
/// head.
void check_batch_norm(const RunPlan& plan, std::int64_t samples);

}  // namespace lamina
