#include "lamina/pipeline/worker.hpp"

#include "lamina/core/error.hpp"

namespace lamina {

Worker::Worker(const Schedule& schedule, std::vector<Stage> stages, Transport& transport,
               std::vector<LaneSpec> lanes, SnapshotPlane& snapshots, WorkerHooks hooks, Seconds limit)
    : round_(schedule.rounds.at(static_cast<std::size_t>(transport.worker()))),
      routes_(schedule.lanes),
      stages_(std::move(stages)),
      transport_(transport),
      lanes_(std::move(lanes)),
      snapshots_(snapshots),
      hooks_(std::move(hooks)),
      limit_(limit),
      sent_(lanes_.size()),
      posted_(lanes_.size()) {}

Worker::~Worker() = default;

void Worker::run() {
  const Stopwatch watch;
  PacketKind done;
  do {
    for (const Action& action : round_) perform(action);
    done = packet_.kind;
    packet_ = {};  // its tensors make room before the next one comes
  } while (done != PacketKind::stop);
  // The stop mark itself must have left before anybody says goodbye.
  const Stopwatch leaving;
  for (const auto& lane : sent_)
    for (const auto& handle : lane) handle->wait(limit_);
  account_.wait_room_s += leaving.elapsed_s();
  account_.total_s = watch.elapsed_s();
}

void Worker::perform(const Action& action) {
  switch (action.op) {
    case Op::feed:
      return feed();
    case Op::receive:
      return receive(action.lane);
    case Op::join:
      return join(action.lane);
    case Op::compute:
      return compute(action.stage);
    case Op::forward:
    case Op::backward:
    case Op::update:
      throw Error(ErrorKind::contract, "a worker runs streaming schedules only");
    case Op::send:
      return send(action.lane);
    case Op::finish:
      return finish();
  }
}

void Worker::feed() {
  const Stopwatch watch;
  packet_ = hooks_.source();
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
  Stage& mine = stages_.at(stage - stages_.front().index());
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

void Worker::send(int lane) {
  Stopwatch watch;
  std::deque<std::unique_ptr<SendHandle>>& sent = sent_[lane];
  if (static_cast<int>(sent.size()) == lanes_[lane].buffers - 1) {
    sent.front()->wait(limit_);
    sent.pop_front();
  }
  account_.wait_room_s += watch.lap_s();
  const ScheduleLane& route = routes_[lane];
  Packet piece = piece_of(packet_, route.sender, route.receiver, route.with_reports);
  sent.push_back(transport_.send(lane, to_message(std::move(piece), lanes_[lane], stages_.front().device())));
}

void Worker::finish() {
  const Stopwatch watch;
  hooks_.sink(packet_);
  account_.report_s += watch.elapsed_s();
}

}  // namespace lamina
