#include "lamina/train/run_config.hpp"

#include <fmt/format.h>

#include "lamina/control/host_port.hpp"
#include "lamina/core/duration.hpp"

namespace lamina {

void EarlyStopConfig::visit(FieldVisitor& v) {
  v.field("patience", &patience,
          "stop once so many evaluations in a row were not better than the best, after the next; 0: never",
          at_least(0));
  v.field("metric", &metric, "what is to get better, of the test set", one_of({"accuracy", "loss"}));
}

void TrainConfig::visit(FieldVisitor& v) {
  v.field("epochs", &epochs, "passes over the training set; the learning rate's schedule spans them",
          at_least(1));
  v.field("max_steps", &max_steps, "stop after so many steps; 0: after the last epoch", at_least(0));
  v.field("batch", &batch, "samples a step", at_least(1));
  v.field("seed", &seed, "of initial values, order and augmentation", at_least(0));
  v.field("lr", &lr, "learning rate at its highest", at_least(0));
  v.field("warmup_epochs", &warmup_epochs, "epochs in which the learning rate rises", at_least(0));
  v.field("lr_schedule", &lr_schedule, "cosine, set anew every epoch (as the papers do) or every step",
          one_of({"epoch", "step"}));
  v.field("eval_every_steps", &eval_every_steps, "steps between evaluations; 0: after every epoch",
          at_least(0));
  v.field("stop_before", &stop_before,
          "stop with a checkpoint once the run is so old, such as 3h50m; empty: never");
  v.section("early_stop", early_stop);
  v.field("clip_grad_norm", &clip_grad_norm,
          "norm that a module's gradients are scaled down to where they are longer; 0: none", at_least(0));
  v.field(
      "on_nonfinite", &on_nonfinite,
      "a loss or gradient is NaN or infinite: stop the run, skip the step from that stage on, or rollback "
      "to the last checkpoint and go on with the data in another order",
      one_of({"stop", "skip", "rollback"}));
  v.field("max_skips", &max_skips,
          "steps in a row that skip may leave out at a stage; one more ends the run; 0: any number",
          at_least(0));
  v.field("max_rollbacks", &max_rollbacks, "that a run may make, resumes included; one more ends it",
          at_least(0));
  v.section("sgd", sgd);
}

void CheckpointConfig::visit(FieldVisitor& v) {
  v.field("every_steps", &every_steps, "steps between checkpoints; 0: only at the end", at_least(0));
  v.field("keep", &keep, "newest checkpoints kept", at_least(1));
  v.field("mirror", &mirror,
          "directory to which every complete checkpoint is copied in the background, as many kept; --resume "
          "looks there too; empty: none");
}

void MetricsConfig::visit(FieldVisitor& v) {
  v.field(
      "listen", &listen,
      "[HOST:]PORT where worker 0 serves Prometheus at /metrics; no host: loopback, port 0: any free one, "
      "empty: nowhere");
  v.field("tensorboard_every_steps", &tensorboard_every_steps,
          "steps between scalars for TensorBoard, in the run's folder tensorboard; 0: none", at_least(0));
  v.field("spike_factor", &spike_factor,
          "a loss that rises above so many times the median of its last 64 is logged; 0: none", at_least(0));
}

void RunConfig::visit(FieldVisitor& v) {
  v.field("format", &format, "of the configuration itself; docs/formats.md",
          between(1, config_format_version));
  v.section("model", model);
  v.section("partition", partition);
  v.section("method", method);
  v.section("pipeline", pipeline);
  v.section("snapshots", snapshots);
  v.section("data", data);
  v.section("train", train);
  v.section("checkpoint", checkpoint);
  v.section("metrics", metrics);
  v.field("out", &out, "directory of the run's files");
}

std::int64_t largest_micro_batch(const RunConfig& config) {
  return (config.train.batch + config.pipeline.micro_batches - 1) / config.pipeline.micro_batches;
}

RunConfig read_run_config(ConfigText& text) {
  RunConfig config;
  Problems problems;
  text.fill(config, problems);
  if (const std::string& listen = config.metrics.listen; !listen.empty() && !host_port(listen))
    problems.add("metrics.listen", fmt::format("expected PORT or HOST:PORT, found {}", listen));
  if (const std::string& limit = config.train.stop_before; !limit.empty() && !duration(limit))
    problems.add("train.stop_before",
                 fmt::format("expected a time such as 3h50m, 90m or 45s, found {}", limit));
  text.raise(problems);
  return config;
}

std::vector<std::string> passed_over(const RunConfig& config) {
  std::vector<std::string> lines = passed_over(config.method);
  if (config.snapshots.policy == "latest" && config.snapshots.lag)
    lines.emplace_back("snapshots.lag: says nothing, as snapshots.policy is latest");
  return lines;
}

}  // namespace lamina
