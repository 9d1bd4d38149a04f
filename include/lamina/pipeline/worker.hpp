#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lamina/comm/transport.hpp"
#include "lamina/core/clock.hpp"
#include "lamina/pipeline/end_to_end_schedule.hpp"
#include "lamina/pipeline/snapshot_plane.hpp"
#include "lamina/pipeline/stage.hpp"
#include "lamina/pipeline/timeline.hpp"
#include "lamina/pipeline/whereabouts.hpp"

namespace lamina {

class DeviceSpans;

/// What a run does at its ends and at marks. Unset where the worker has no such end.
struct WorkerHooks {
  std::function<Packet()> source;  ///< the first stage's: the next packet, or its replica's share of it
  /// Has the stage's state written, beside what comes next or, at the stop, at once; the seconds that this
  /// waited for an earlier checkpoint.
  std::function<double(Stage&, const Packet& mark)> save;
  std::function<std::vector<std::string>()> notes{};  ///< what there is to tell the sink since it last was
  std::function<void(const Packet&)> sink;            ///< the last stage's: every packet, as it left
  std::shared_ptr<ActionBoard> board{};               ///< where the worker shows what it is doing
};

/// The one loop with side effects: runs a schedule's actions on stages, transport and hooks until the stop
/// mark.
///
/// Threads  run() belongs to one thread, which should have its intra-op threads set.
/// Errors   whatever stages, transport and hooks throw; the caller aborts the transport.
class Worker {
 public:
  /// The transport has opened `lanes`, numbered as in the schedule.
  Worker(const Schedule& schedule, std::vector<Stage> stages, Transport& transport,
         std::vector<LaneSpec> lanes, SnapshotPlane& snapshots, WorkerHooks hooks, Seconds limit);
  ~Worker();

  /// Runs until the stop mark has been dealt with.
  void run();

  std::vector<Stage>& stages() { return stages_; }
  const Timeline& timeline() const { return timeline_; }
  const Account& account() const { return timeline_.account(); }
  Account& account() { return timeline_.account(); }

 private:
  const std::vector<Action>& actions_for(PacketKind kind) const;
  void perform(const std::vector<Action>& actions);
  void perform(const Action& action);
  /// The stretch of time that begins now, shown.
  Span begin(const Action& action, Activity activity) const;
  /// What follows of the span goes into another activity.
  void turn_to(Span& span, Activity activity) const;
  void show(const Span& span) const;
  void show_lane(int lane) const;
  /// Ends it now, and begins the next at the same instant.
  void note(Span& span);
  void note(Span& span, Clock::time_point end);
  /// The same for a span of computing, of which some went into waiting for replicas.
  void note_compute(Span& span, double replicas_s);
  /// Performs an action that computes; when the device does so is noted beside.
  void give_device(const Action& action, void (Worker::*give)(const Action&));
  void feed(const Action& action);
  void receive(const Action& action);
  void join(const Action& action);
  /// The message that the lane's posted receive waits for.
  Message arrived(Span& span);
  Packet take(Span& span);
  void receive_gradient(const Action& action);
  void expect_gradient(int lane);
  void compute(const Action& action);
  void train(const Action& action);
  void forward(const Action& action);
  void backward(const Action& action);
  void update(const Action& action);
  void save(Stage& stage);
  void tell_of_worker(StageReport& report, const Stage& stage);
  void take_notes();
  void send(const Action& action);
  void finish(const Action& action);
  Stage& stage_at(int index);

  Action first_;         // of every round: shows what kind of packet it is about
  WorkerRounds rounds_;  // the others
  int num_micro_batches_;
  std::vector<ScheduleLane> routes_;  // by lane
  std::vector<Stage> stages_;
  Transport& transport_;
  std::vector<LaneSpec> lanes_;
  SnapshotPlane& snapshots_;
  WorkerHooks hooks_;
  std::shared_ptr<ActionBoard> board_;
  Seconds limit_;
  Timeline timeline_;
  std::unique_ptr<DeviceSpans> device_spans_;
  Account told_;                     // as of the last report
  double checkpoint_wait_s_ = 0;     // since then
  std::int64_t step_ = 0;            // of the packet of this round
  Packet packet_;                    // the one in hand, or a micro-batch of it
  at::Tensor gradient_BCHW_;         // the one in hand
  Packet batch_;                     // what was fed, of which the micro-batches are
  Packet left_;                      // the micro-batches that have left the network
  std::optional<Packet> held_back_;  // fed, but a flush has to go first
  bool step_is_open_ = false;
  std::vector<std::int64_t> carried_;                          // by lane: messages sent or received here
  std::vector<int> expected_;                                  // by lane: gradients that are sure to come
  std::vector<std::deque<std::unique_ptr<SendHandle>>> sent_;  // by lane: sends not waited for, oldest first
  std::vector<std::unique_ptr<ReceiveHandle>> posted_;         // by lane: the receive posted ahead
};

}  // namespace lamina
