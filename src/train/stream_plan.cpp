#include "lamina/train/stream_plan.hpp"

#include <algorithm>
#include <utility>

#include "lamina/train/lr_schedule.hpp"

namespace lamina {

StreamPlan::StreamPlan(const RunConfig& config, std::int64_t num_train, std::int64_t num_test, Start start)
    : train_(config.train),
      eval_batch_(largest_micro_batch(config)),
      save_every_(config.checkpoint.every_steps),
      num_train_(num_train),
      num_test_(num_test),
      steps_per_epoch_((num_train + config.train.batch - 1) / config.train.batch),
      step_(start.step),
      due_(start.evaluated ? Due::train : Due::eval) {
  total_steps_ = train_.epochs * steps_per_epoch_;
  if (train_.max_steps > 0) total_steps_ = std::min(total_steps_, train_.max_steps);
  total_steps_ = std::max(total_steps_, start.step);
}

StreamPlan StreamPlan::evaluation_only(const RunConfig& config, std::int64_t num_test, std::int64_t step) {
  StreamPlan plan(config, 1, num_test, {.step = step, .evaluated = false});
  plan.total_steps_ = step;
  return plan;
}

StreamItem StreamPlan::next() {
  if (due_ == Due::eval) return eval_item();
  if (std::exchange(save_wanted_, false) && step_ != saved_step_ && step_ < total_steps_)
    due_ = Due::checkpoint;
  if (due_ == Due::checkpoint) {
    due_ = Due::train;
    saved_step_ = step_;
    return mark(PacketKind::checkpoint);
  }
  return step_ == total_steps_ ? mark(PacketKind::stop) : train_item();
}

StreamItem StreamPlan::train_item() {
  StreamItem item;
  const std::int64_t epoch = step_ / steps_per_epoch_;
  const std::int64_t first = step_ % steps_per_epoch_ * train_.batch;
  item.packet = {.kind = PacketKind::train,
                 .step = step_,
                 .epoch = epoch,
                 .total_steps = total_steps_,
                 .lr = learning_rate(train_, steps_per_epoch_, step_)};
  item.batch = {
      .training = true, .epoch = epoch, .first = first, .count = std::min(train_.batch, num_train_ - first)};
  ++step_;
  due_ = evaluates_after(step_) ? Due::eval : saves_after(step_) ? Due::checkpoint : Due::train;
  return item;
}

StreamItem StreamPlan::eval_item() {
  StreamItem item;
  const std::int64_t count = std::min(eval_batch_, num_test_ - eval_first_);
  item.batch = {.training = false, .epoch = 0, .first = eval_first_, .count = count};
  eval_first_ += count;
  const bool closes = eval_first_ == num_test_;
  item.packet = {.kind = PacketKind::eval,
                 .step = step_,
                 .epoch = step_ / steps_per_epoch_,
                 .total_steps = total_steps_,
                 .closes_evaluation = closes};
  if (closes) {
    eval_first_ = 0;
    due_ = saves_after(step_) ? Due::checkpoint : Due::train;
  }
  return item;
}

StreamItem StreamPlan::mark(PacketKind kind) const {
  StreamItem item;
  item.packet = {.kind = kind,
                 .step = step_,
                 .epoch = step_ / steps_per_epoch_,
                 .total_steps = total_steps_,
                 .evaluated = due_ != Due::eval};
  return item;
}

StreamItem StreamPlan::stop_here() const {
  return mark(PacketKind::stop);
}

bool StreamPlan::evaluates_after(std::int64_t steps) const {
  if (steps == total_steps_) return true;
  return steps % (train_.eval_every_steps > 0 ? train_.eval_every_steps : steps_per_epoch_) == 0;
}

// The stop mark at the end saves anyway.
bool StreamPlan::saves_after(std::int64_t steps) const {
  return save_every_ > 0 && steps % save_every_ == 0 && steps < total_steps_;
}

}  // namespace lamina
