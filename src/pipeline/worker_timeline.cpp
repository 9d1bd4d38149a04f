#include <utility>

#include "lamina/comm/device.hpp"
#include "lamina/core/process.hpp"
#include "lamina/pipeline/worker.hpp"

// What a worker tells of its time: spans of the timeline, what it shows of itself while it works, and its
// part of a stage's report.
namespace lamina {

Span Worker::begin(const Action& action, Activity activity) const {
  const Span span{.start = Clock::now(),
                  .step = -action.steps_back,
                  .stage = action.stage,
                  .lane = action.lane,
                  .micro = action.micro,
                  .op = action.op,
                  .activity = activity};
  show(span);
  return span;
}

void Worker::turn_to(Span& span, Activity activity) const {
  span.activity = activity;
  show(span);
}

void Worker::show(const Span& span) const {
  int other = -1;
  if (span.lane >= 0) {
    // A lane of activations leads from its stage to the next, one of gradients back.
    const ScheduleLane& route = routes_[span.lane];
    other = route.stage + ((span.op == Op::send) == route.gradient ? 0 : 1);
  }
  board_->show({.step = span.step + step_,
                .op = span.op,
                .activity = span.activity,
                .stage = span.stage,
                .other = other,
                .micro = span.micro});
}

void Worker::show_lane(int lane) const {
  const auto at = static_cast<std::size_t>(lane);
  board_->show_lane(at, {.carried = carried_[at], .open = std::ssize(sent_[at])});
}

void Worker::note(Span& span) {
  note(span, Clock::now());
}

void Worker::note(Span& span, Clock::time_point end) {
  Span done = span;
  done.end = end;
  done.step += step_;
  timeline_.add(done);
  span.start = done.end;
}

void Worker::tell_of_worker(StageReport& report, const Stage& stage) {
  report.memory_mib = resident_mib();
  report.device_memory_mib = peak_device_mib(stage.device());
  if (&stage != &stages_.front()) return;
  report.input_wait_s = account()[Activity::wait_input] - told_[Activity::wait_input];
  report.room_wait_s = account()[Activity::wait_room] - told_[Activity::wait_room];
  report.checkpoint_wait_s = std::exchange(checkpoint_wait_s_, 0);
  told_ = account();
}

// What was waited for in between is put at the end.
void Worker::note_compute(Span& span, double replicas_s) {
  span.activity = Activity::compute;
  note(span, Clock::now() - std::chrono::duration_cast<Clock::duration>(Seconds(replicas_s)));
  if (replicas_s == 0) return;
  span.activity = Activity::replicas;
  note(span);
}

}  // namespace lamina
