#pragma once

#include <cstdint>
#include <vector>

#include "lamina/comm/mpi.hpp"
#include "lamina/pipeline/schedule.hpp"
#include "lamina/train/run_config.hpp"

namespace lamina {

/// True if the configured schedule trains end to end, with gradients that flow back.
bool trains_end_to_end(const PipelineConfig& config);

/// Checks that schedule, method, micro-batches and replicas go together, and makes every worker of
/// data_parallel a replica. @throws Error{config}
void resolve_schedule(RunConfig& config, const MpiLaunch& launch);

/// The workers that share the stages: as the schedule deals them out. `replicas`: of each group.
std::vector<WorkerGroup> group_stages(const PipelineConfig& config,
                                      const std::vector<std::vector<ModuleSpec>>& stages,
                                      const std::vector<std::int64_t>& replicas);

}  // namespace lamina
