// What a worker does of the schedules whose gradients flow back.
#include <utility>

#include "lamina/pipeline/worker.hpp"

namespace lamina {

void Worker::expect_gradient(int lane) {
  ++expected_[lane];
  if (!posted_[lane]) posted_[lane] = transport_.receive(lane);
}

void Worker::receive_gradient(const Action& action) {
  Span span = begin(action, Activity::wait_input);
  const int lane = action.lane;
  gradient_BCHW_ = to_gradient(arrived(span), action.micro);
  posted_[lane] = --expected_[lane] > 0 ? transport_.receive(lane) : nullptr;
  note(span);
}

void Worker::forward(const Action& action) {
  Span span = begin(action, Activity::compute);
  Stage& stage = stage_at(action.stage);
  if (action.stage == 0) {
    if (action.micro == 0) batch_ = std::move(packet_);
    packet_ = micro_batch(batch_, action.micro, num_micro_batches_);
    if (action.micro + 1 == num_micro_batches_) batch_ = {};
  }
  packet_ = stage.forward(std::move(packet_), action.micro);
  tell_of_worker(packet_.stages.back(), stage);
  take_notes();
  if (stage.is_last()) {
    if (action.micro == 0)
      left_ = std::move(packet_);
    else
      join_micro_batch(left_, std::move(packet_));
    packet_ = {};
    if (action.micro + 1 == num_micro_batches_) packet_ = std::move(left_);
  }
  note(span);
  // A receive is posted for it now, so that it travels while this worker computes.
  for (std::size_t lane = 0; lane < routes_.size(); ++lane)
    if (routes_[lane].gradient && routes_[lane].stage == action.stage &&
        routes_[lane].to == transport_.worker())
      expect_gradient(static_cast<int>(lane));
}

void Worker::backward(const Action& action) {
  Span span = begin(action, Activity::compute);
  gradient_BCHW_ = stage_at(action.stage).backward(action.micro, std::move(gradient_BCHW_));
  note(span);
}

void Worker::update(const Action& action) {
  Span span = begin(action, Activity::compute);
  const double replicas_s = stage_at(action.stage).update();
  note_compute(span, replicas_s);
}

}  // namespace lamina
