#pragma once

#include <cstdint>
#include <string>

#include "lamina/core/config.hpp"
#include "lamina/data/open.hpp"
#include "lamina/nn/backbone.hpp"
#include "lamina/nn/module.hpp"
#include "lamina/nn/partition.hpp"
#include "lamina/nn/sgd.hpp"
#include "lamina/pipeline/pipeline_config.hpp"
#include "lamina/pipeline/snapshot_policy.hpp"

namespace lamina {

/// When a run ends before its last epoch since its evaluations get no better.
struct EarlyStopConfig {
  std::int64_t patience = 0;        ///< evaluations in a row that are not better than the best; 0: never
  std::string metric = "accuracy";  ///< accuracy | loss, of the test set
  bool is_on() const { return patience > 0; }
  void visit(FieldVisitor& v);
};

struct TrainConfig {
  std::int64_t epochs = 400;
  std::int64_t max_steps = 0;  ///< > 0: stop there; the learning rate still follows `epochs`
  std::int64_t batch = 128;
  std::int64_t seed = 0;
  double lr = 0.1;
  double warmup_epochs = 10;          ///< may be a fraction under lr_schedule: step
  std::string lr_schedule = "epoch";  ///< epoch (docs/method.md, Recipe) | step
  std::int64_t eval_every_steps = 0;  ///< 0: after every epoch; always at the end
  std::string stop_before{};          ///< stop once the run is so old (duration.hpp); empty: never
  EarlyStopConfig early_stop{};
  double clip_grad_norm = 0;          ///< of each module by itself; 0: none
  std::string on_nonfinite = "stop";  ///< stop | skip | rollback, see OnNonfinite
  std::int64_t max_skips = 100;       ///< in a row; 0: any number
  std::int64_t max_rollbacks = 3;     ///< of the whole run
  SgdConfig sgd{};
  void visit(FieldVisitor& v);
};

struct CheckpointConfig {
  std::int64_t every_steps = 0;  ///< 0: only at the end or at a stop
  std::int64_t keep = 2;         ///< older ones are deleted
  std::string mirror{};          ///< a second directory, see CheckpointMirror; empty: none
  void visit(FieldVisitor& v);
};

/// Who may watch the run, beside metrics.jsonl.
struct MetricsConfig {
  std::string
      listen{};  ///< PORT of the loopback, or HOST:PORT, where worker 0 serves Prometheus; empty: nowhere
  std::int64_t tensorboard_every_steps = 0;  ///< 0: none
  double spike_factor = 3;                   ///< see SpikeWatch; 0: losses are not watched
  void visit(FieldVisitor& v);
};

/// The newest format of a configuration that this build reads; docs/formats.md.
inline constexpr int config_format_version = 1;

/// Everything that a run is told.
struct RunConfig {
  std::int64_t format = config_format_version;
  ModelConfig model{};
  PartitionConfig partition{};
  MethodConfig method{};
  PipelineConfig pipeline{};
  SnapshotsConfig snapshots{};
  DataConfig data{};
  TrainConfig train{};
  CheckpointConfig checkpoint{};
  MetricsConfig metrics{};
  std::string out = "runs/run";
  void visit(FieldVisitor& v);
};

/// Samples of a full batch's largest micro-batch; evaluation takes as many at a time, so that lanes fit both.
std::int64_t largest_micro_batch(const RunConfig& config);

/// Fills a configuration and checks it. @throws Error{config} with every problem found.
RunConfig read_run_config(ConfigText& text);

/// What is set and changes nothing, beside what else is set: a line each, for people.
std::vector<std::string> passed_over(const RunConfig& config);

}  // namespace lamina
