#pragma once

#include "lamina/pipeline/pipeline_config.hpp"
#include "lamina/study/simulate.hpp"
#include "lamina/study/stage_plan.hpp"
#include "lamina/train/run_plan.hpp"

namespace lamina {

/// A chain of stages without a network behind it.
struct ChainConfig {
  PipelineConfig pipeline{};
  SnapshotsConfig snapshots{};
  void visit(FieldVisitor& v);
};

/// What stages of a chain send, add up and publish to each reader, in bytes; and how many of the following
/// stages each shadows.
struct ChainTraffic {
  double message_bytes = 0;
  double gradient_bytes = 0;
  double part_bytes = 0;
  int shadows = 0;
};

/// `pipeline.workers` workers as a run would lay them out, with `pipeline.stages` stages, unless that is 1 a
/// stage each. @throws Error{config} as make_run_plan() does.
SimulatedPipeline make_chain(const ChainConfig& config, const ChainTraffic& traffic);

/// A plan's pipeline, with the bytes of its lanes; with `measure_parts` its stages are made, to know how much
/// they add up and publish.
SimulatedPipeline simulated(const RunPlan& plan, bool measure_parts);

/// Seconds a step, steady, of a plan's stages under the configuration's schedule: each on workers of its own,
/// or dealt out to `pipeline.workers` where the schedule does that (deals_stages_out()). With `streaming` the
/// slowest stage or link; end to end also what the schedule leaves idle, which no stage's time shows.
/// `bytes_per_s` of a link; 0: no limit. `deviation` of each time (jitter.hpp): where stages wait for one
/// another, each of them loses by what another's time varies.
double played_step_s(const StagePlan& plan, PipelineConfig pipeline, double bytes_per_s,
                     double deviation = 0);

}  // namespace lamina
