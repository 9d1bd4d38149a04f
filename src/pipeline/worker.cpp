#include "lamina/pipeline/worker.hpp"

#include <algorithm>
#include <utility>

namespace lamina {

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
      limit_(limit),
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
  } while (kind != PacketKind::stop);
  // The stop mark itself must have left before anybody says goodbye.
  const Stopwatch leaving;
  for (const auto& lane : sent_)
    for (const auto& handle : lane) handle->wait(limit_);
  account_.wait_room_s += leaving.elapsed_s();
  account_.total_s = watch.elapsed_s();
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
      return feed();
    case Op::receive:
      return routes_[action.lane].gradient ? receive_gradient(action) : receive(action.lane);
    case Op::join:
      return join(action.lane);
    case Op::compute:
      return compute(action.stage);
    case Op::forward:
      return forward(action);
    case Op::backward:
      return backward(action);
    case Op::update:
      return update(action.stage);
    case Op::send:
      return send(action);
    case Op::finish:
      return finish();
  }
}

Stage& Worker::stage_at(int index) {
  return *std::find_if(stages_.begin(), stages_.end(),
                       [index](const Stage& stage) { return stage.index() == index; });
}

void Worker::feed() {
  const Stopwatch watch;
  packet_ = held_back_ ? std::move(*held_back_) : hooks_.source();
  held_back_.reset();
  if (step_is_open_ && packet_.kind != PacketKind::train) {
    const Packet flush{.kind = PacketKind::flush, .step = packet_.step};
    held_back_ = std::exchange(packet_, flush);
  }
  account_.wait_input_s += watch.elapsed_s();
}

void Worker::receive(int lane) {
  const Stopwatch watch;
  packet_ = take(lane);
  account_.wait_input_s += watch.elapsed_s();
}

void Worker::join(int lane) {
  const Stopwatch watch;
  lamina::join(packet_, take(lane));
  account_.wait_input_s += watch.elapsed_s();
}

Packet Worker::take(int lane) {
  if (!posted_[lane]) posted_[lane] = transport_.receive(lane);
  Packet packet = to_packet(posted_[lane]->wait(limit_));
  // One receive is always posted ahead, so that a message travels while this worker computes; behind the stop
  // mark nothing comes any more.
  posted_[lane] = packet.kind == PacketKind::stop ? nullptr : transport_.receive(lane);
  return packet;
}

void Worker::compute(int stage) {
  const Stopwatch watch;
  Stage& mine = stage_at(stage);
  if (packet_.is_mark()) {
    packet_.notes.push_back(hooks_.save(mine, packet_));
    account_.checkpoint_s += watch.elapsed_s();
  } else if (packet_.kind == PacketKind::train) {
    train(mine);
  } else {
    packet_ = mine.process(std::move(packet_));
    account_.compute_s += watch.elapsed_s();
  }
}

void Worker::train(Stage& stage) {
  const std::int64_t step = packet_.step;
  Stopwatch watch;
  const StageReport used = snapshots_.refresh(stage, step);
  account_.snapshot_s += watch.lap_s();
  packet_ = stage.process(std::move(packet_));
  const double replica_wait_s = packet_.stages.back().replica_wait_s;
  account_.replicas_s += replica_wait_s;
  account_.compute_s += watch.lap_s() - replica_wait_s;
  packet_.stages.back().age_steps = used.age_steps;
  packet_.stages.back().snapshot_wait_s = used.snapshot_wait_s;
  snapshots_.publish(stage, step + 1);
  account_.snapshot_s += watch.lap_s();
}

void Worker::expect_gradient(int lane) {
  ++expected_[lane];
  if (!posted_[lane]) posted_[lane] = transport_.receive(lane);
}

void Worker::receive_gradient(const Action& action) {
  const Stopwatch watch;
  std::unique_ptr<ReceiveHandle>& posted = posted_[action.lane];
  gradient_BCHW_ = to_gradient(posted->wait(limit_), action.micro);
  posted = --expected_[action.lane] > 0 ? transport_.receive(action.lane) : nullptr;
  account_.wait_input_s += watch.elapsed_s();
}

void Worker::forward(const Action& action) {
  const Stopwatch watch;
  Stage& stage = stage_at(action.stage);
  if (action.stage == 0) {
    if (action.micro == 0) batch_ = std::move(packet_);
    packet_ = micro_batch(batch_, action.micro, num_micro_batches_);
    if (action.micro + 1 == num_micro_batches_) batch_ = {};
  }
  packet_ = stage.forward(std::move(packet_), action.micro);
  if (stage.is_last()) {
    if (action.micro == 0)
      left_ = std::move(packet_);
    else
      join_micro_batch(left_, std::move(packet_));
    packet_ = {};
    if (action.micro + 1 == num_micro_batches_) packet_ = std::move(left_);
  }
  account_.compute_s += watch.elapsed_s();
  // A receive is posted for it now, so that it travels while this worker computes.
  for (std::size_t lane = 0; lane < routes_.size(); ++lane)
    if (routes_[lane].gradient && routes_[lane].stage == action.stage &&
        routes_[lane].to == transport_.worker())
      expect_gradient(static_cast<int>(lane));
}

void Worker::backward(const Action& action) {
  const Stopwatch watch;
  gradient_BCHW_ = stage_at(action.stage).backward(action.micro, std::move(gradient_BCHW_));
  account_.compute_s += watch.elapsed_s();
}

void Worker::update(int stage) {
  const Stopwatch watch;
  const double replicas_s = stage_at(stage).update();
  account_.replicas_s += replicas_s;
  account_.compute_s += watch.elapsed_s() - replicas_s;
}

void Worker::send(const Action& action) {
  Stopwatch watch;
  const int lane = action.lane;
  std::deque<std::unique_ptr<SendHandle>>& sent = sent_[lane];
  if (static_cast<int>(sent.size()) == lanes_[lane].buffers - 1) {
    sent.front()->wait(limit_);
    sent.pop_front();
  }
  account_.wait_room_s += watch.lap_s();
  const ScheduleLane& route = routes_[lane];
  Message message;
  if (route.gradient) {
    message = to_gradient_message(std::exchange(gradient_BCHW_, {}), action.micro, lanes_[lane]);
  } else {
    Packet piece = piece_of(packet_, route.sender, route.receiver, route.with_reports);
    message = to_message(std::move(piece), lanes_[lane], stages_.front().device());
  }
  sent.push_back(transport_.send(lane, std::move(message)));
  account_.wait_room_s += watch.lap_s();  // where cores are short, whoever is woken may go first
}

void Worker::finish() {
  const Stopwatch watch;
  hooks_.sink(packet_);
  account_.report_s += watch.elapsed_s();
}

}  // namespace lamina
