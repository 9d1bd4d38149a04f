#include "lamina/pipeline/worker.hpp"

#include <algorithm>
#include <utility>

#include "pipeline/device_spans.hpp"

namespace lamina {
namespace {

std::int64_t num_bytes(const Message& message) {
  auto bytes = static_cast<std::int64_t>(message.header.size());
  for (const at::Tensor& tensor : message.tensors) bytes += static_cast<std::int64_t>(tensor.nbytes());
  return bytes;
}

}  // namespace

Worker::Worker(const Schedule& schedule, std::vector<Stage> stages, Transport& transport,
               std::vector<LaneSpec> lanes, SnapshotPlane& snapshots, WorkerHooks hooks, Seconds limit)
    : first_(schedule.rounds.at(static_cast<std::size_t>(transport.worker())).front()),
      rounds_(worker_rounds(schedule, transport.worker())),
      num_micro_batches_(schedule.micro_batches),
      routes_(schedule.lanes),
      stages_(std::move(stages)),
      transport_(transport),
      lanes_(std::move(lanes)),
      snapshots_(snapshots),
      hooks_(std::move(hooks)),
      board_(hooks_.board ? hooks_.board : std::make_shared<ActionBoard>(lanes_.size())),
      limit_(limit),
      device_spans_(std::make_unique<DeviceSpans>(stages_.front().device())),
      carried_(lanes_.size(), 0),
      expected_(lanes_.size(), 0),
      sent_(lanes_.size()),
      posted_(lanes_.size()) {}

Worker::~Worker() = default;

void Worker::run() {
  const Stopwatch watch;
  PacketKind kind;
  do {
    perform(first_);
    kind = packet_.kind;
    perform(actions_for(kind));
    if (kind == PacketKind::train || kind == PacketKind::flush)
      step_is_open_ = kind == PacketKind::train && rounds_.leaves_open();
    packet_ = {};  // its tensors make room before the next one comes
    device_spans_->add_to(timeline_);
  } while (kind != PacketKind::stop);
  // The stop mark itself must have left before anybody says goodbye.
  Span leaving = begin({Op::send, stages_.back().index()}, Activity::wait_room);
  for (const auto& lane : sent_)
    for (const auto& handle : lane) handle->wait(limit_);
  note(leaving);
  board_->show({.step = step_});
  account().total_s = watch.elapsed_s();
}

const std::vector<Action>& Worker::actions_for(PacketKind kind) const {
  if (kind == PacketKind::flush) return rounds_.drain;
  if (kind != PacketKind::train) return rounds_.pass;
  return step_is_open_ ? rounds_.next : rounds_.first;
}

void Worker::perform(const std::vector<Action>& actions) {
  for (std::size_t i = 0; i < actions.size(); ++i) {
    perform(actions[i]);
    // Over NCCL a send waits for the receive that is asked for next (src/README.md). Where computing comes
    // first, it is not to wait so long.
    const bool computes_next = i + 1 < actions.size() && actions[i + 1].op != Op::receive &&
                               actions[i + 1].op != Op::join && actions[i + 1].op != Op::send;
    if (actions[i].op == Op::send && computes_next) sent_[actions[i].lane].back()->done();
  }
}

void Worker::perform(const Action& action) {
  switch (action.op) {
    case Op::feed:
      return feed(action);
    case Op::receive:
      return routes_[action.lane].gradient ? receive_gradient(action) : receive(action);
    case Op::join:
      return join(action);
    case Op::compute:
      return give_device(action, &Worker::compute);
    case Op::forward:
      return give_device(action, &Worker::forward);
    case Op::backward:
      return give_device(action, &Worker::backward);
    case Op::update:
      return give_device(action, &Worker::update);
    case Op::send:
      return send(action);
    case Op::finish:
      return finish(action);
  }
}

void Worker::give_device(const Action& action, void (Worker::*give)(const Action&)) {
  device_spans_->begin();
  (this->*give)(action);
  Span given = begin(action, packet_.is_mark() ? Activity::checkpoint : Activity::compute);
  given.step += step_;
  device_spans_->end(given);
}

Stage& Worker::stage_at(int index) {
  return *std::find_if(stages_.begin(), stages_.end(),
                       [index](const Stage& stage) { return stage.index() == index; });
}

void Worker::feed(const Action& action) {
  Span span = begin(action, Activity::wait_input);
  packet_ = held_back_ ? std::move(*held_back_) : hooks_.source();
  held_back_.reset();
  if (step_is_open_ && packet_.kind != PacketKind::train) {
    const Packet flush{.kind = PacketKind::flush, .step = packet_.step};
    held_back_ = std::exchange(packet_, flush);
  }
  step_ = packet_.step;
  note(span);
}

void Worker::receive(const Action& action) {
  Span span = begin(action, Activity::wait_input);
  packet_ = take(span);
  step_ = packet_.step;
  note(span);
}

void Worker::join(const Action& action) {
  Span span = begin(action, Activity::wait_input);
  lamina::join(packet_, take(span));
  note(span);
}

Message Worker::arrived(Span& span) {
  Message message = posted_[span.lane]->wait(limit_);
  span.message = carried_[span.lane]++;
  show_lane(span.lane);
  span.bytes = num_bytes(message);
  return message;
}

Packet Worker::take(Span& span) {
  const int lane = span.lane;
  if (!posted_[lane]) posted_[lane] = transport_.receive(lane);
  Packet packet = to_packet(arrived(span));
  // One receive is always posted ahead, so that a message travels while this worker computes; behind the stop
  // mark nothing comes any more.
  posted_[lane] = packet.kind == PacketKind::stop ? nullptr : transport_.receive(lane);
  return packet;
}

void Worker::compute(const Action& action) {
  if (packet_.kind == PacketKind::train) return train(action);
  Stage& stage = stage_at(action.stage);
  Span span = begin(action, packet_.is_mark() ? Activity::checkpoint : Activity::compute);
  if (packet_.is_mark())
    save(stage);
  else
    packet_ = stage.process(std::move(packet_));
  take_notes();
  note(span);
}

void Worker::save(Stage& stage) {
  packet_.abandoned = packet_.abandoned || stage.is_abandoned();
  checkpoint_wait_s_ += hooks_.save(stage, packet_);
}

void Worker::take_notes() {
  if (!hooks_.notes) return;
  for (std::string& note : hooks_.notes()) packet_.notes.push_back(std::move(note));
}

void Worker::train(const Action& action) {
  Stage& stage = stage_at(action.stage);
  Span span = begin(action, Activity::snapshot);
  // A step that is skipped needs no shadows. Replicas do not wait for one another in it, so an owner may be
  // ahead of this one, with the version gone.
  const bool passes = packet_.skipped || stage.is_abandoned();
  const StageReport used = passes ? StageReport{} : snapshots_.refresh(stage, step_);
  note(span);
  turn_to(span, Activity::compute);
  packet_ = stage.process(std::move(packet_));
  StageReport& report = packet_.stages.back();
  report.age_steps = used.age_steps;
  report.snapshot_wait_s = used.snapshot_wait_s;
  tell_of_worker(report, stage);
  span.age_steps = stage.shadows().empty() ? -1 : used.age_steps;
  note_compute(span, report.replica_wait_s);
  turn_to(span, Activity::snapshot);
  span.age_steps = -1;
  snapshots_.publish(stage, step_ + 1);
  take_notes();
  note(span);
}

void Worker::send(const Action& action) {
  const int lane = action.lane;
  Span span = begin(action, Activity::wait_room);
  std::deque<std::unique_ptr<SendHandle>>& sent = sent_[lane];
  if (static_cast<int>(sent.size()) == lanes_[lane].buffers - 1) {
    sent.front()->wait(limit_);
    sent.pop_front();
    note(span);
  }
  const ScheduleLane& route = routes_[lane];
  Message message;
  if (route.gradient) {
    message = to_gradient_message(std::exchange(gradient_BCHW_, {}), action.micro, lanes_[lane]);
  } else {
    Packet piece = piece_of(packet_, route.sender, route.receiver, route.with_reports);
    message = to_message(std::move(piece), lanes_[lane], stages_.front().device());
  }
  turn_to(span, Activity::send);
  span.message = carried_[lane]++;
  span.bytes = num_bytes(message);
  sent.push_back(transport_.send(lane, std::move(message)));
  show_lane(lane);
  note(span);
}

void Worker::finish(const Action& action) {
  Span span = begin(action, Activity::report);
  hooks_.sink(packet_);
  note(span);
}

}  // namespace lamina
