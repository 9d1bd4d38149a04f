#include "wishes.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "lamina/core/log.hpp"

namespace lamina {

Wishes::Wishes(const RunPlan& plan, const RunOptions& options, Transport& transport, Seconds limit,
               WishSources sources)
    : plan_(plan), options_(options), transport_(transport), limit_(limit), sources_(std::move(sources)) {
  stopped_by_ = sources_.told_to_stop;
  if (options.writes() && transport.worker() == 0) conditions_.emplace(plan.config);
}

// Any worker may be told to stop: those that feed act on it, and of the others worker 0 hears. SIGUSR1 by
// mpirun reaches all, and asks for one checkpoint.
Wish Wishes::own() {
  if (stopped_by_ == StopReason::none && conditions_) stopped_by_ = conditions_->met();
  if (stopped_by_ == StopReason::none && options_.stop_requested()) stopped_by_ = StopReason::signal;
  if (stopped_by_ == StopReason::none && sources_.asked_to_stop) heed_others();
  if (stopped_by_ != StopReason::none) return Wish::stop;
  if (sources_.is_abandoned && sources_.is_abandoned()) return Wish::stop;
  return transport_.worker() == 0 && options_.checkpoint_requested() ? Wish::checkpoint : Wish::none;
}

void Wishes::heed_others() {
  const int worker = sources_.asked_to_stop();
  if (worker < 0) return;
  stopped_by_ = StopReason::signal;
  log_info(fmt::format("stopping with a checkpoint: a signal has asked worker {} to", worker));
}

std::unique_ptr<SumHandle> Wishes::vote() {
  at::Tensor votes = at::zeros({3}, at::kLong);  // for each wish
  votes[static_cast<std::int64_t>(own())] = 1;
  return transport_.sum(plan_.groups.front().workers(), {votes.to(plan_.device)});
}

void Wishes::begin() {
  begun_ = true;
  if (sources_.verdict && sources_.verdict(0).over) {
    stopped_by_ = StopReason::early_stop;
    log_info("stopping at once: train.early_stop had stopped the run here");
  }
  if (has_replicas()) votes_ = vote();
}

// While an evaluation's last packet has not left, the verdict on that before is the newest there can be.
void Wishes::heed_verdict() {
  const Verdict verdict = sources_.verdict(num_evaluations_++);
  if (!verdict.stop || stopped_by_ != StopReason::none) return;
  stopped_by_ = StopReason::early_stop;
  const EarlyStopConfig& config = plan_.config.train.early_stop;
  log_info(fmt::format("stopping with a checkpoint: train.early_stop: no better {} in {} evaluations",
                       config.metric, config.patience));
}

Wish Wishes::next(bool closes_evaluation) {
  if (!begun_) begin();
  if (!has_replicas()) {
    const Wish wish = own();
    if (sources_.verdict && closes_evaluation) heed_verdict();
    return wish;
  }
  const at::Tensor votes = votes_->wait(limit_).front().cpu();
  if (sources_.verdict && closes_evaluation) heed_verdict();
  votes_ = vote();
  for (const Wish wish : {Wish::stop, Wish::checkpoint})
    if (votes[static_cast<std::int64_t>(wish)].item<std::int64_t>() > 0) return wish;
  return Wish::none;
}

void Wishes::finish() {
  if (votes_) votes_->wait(limit_);
}

}  // namespace lamina
