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

namespace lamina {

/// Where a worker's seconds went. Each is timed by itself; what is left of `total` is printed as unaccounted.
struct Account {
  double compute_s = 0;
  double wait_input_s = 0;  ///< for the loader, the stage before, or gradients of the stage after
  double wait_room_s = 0;   ///< for whoever receives, and handing over
  double replicas_s = 0;    ///< waiting for the gradients of the stage's other replicas
  double snapshot_s = 0;    ///< filling shadows, publishing parts, and waiting for versions
  double checkpoint_s = 0;
  double report_s = 0;  ///< in the sink: metrics, progress
  double idle_s = 0;    ///< after the stream's end, until everybody is done
  double total_s = 0;

  double accounted_s() const {
    return compute_s + wait_input_s + wait_room_s + replicas_s + snapshot_s + checkpoint_s + report_s +
           idle_s;
  }
};

/// What a run does at its ends and at marks. Unset where the worker has no such end.
struct WorkerHooks {
  std::function<Packet()> source;  ///< the first stage's: the next packet, or its replica's share of it
  std::function<std::string(Stage&, const Packet& mark)>
      save;                                 ///< writes the stage's state; a note for the sink
  std::function<void(const Packet&)> sink;  ///< the last stage's: every packet, as it left
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
  const Account& account() const { return account_; }
  Account& account() { return account_; }

 private:
  const std::vector<Action>& actions_for(PacketKind kind) const;
  void perform(const std::vector<Action>& actions);
  void perform(const Action& action);
  void feed();
  void receive(int lane);
  void join(int lane);
  Packet take(int lane);
  void receive_gradient(const Action& action);
  void expect_gradient(int lane);
  void compute(int stage);
  void train(Stage& stage);
  void forward(const Action& action);
  void backward(const Action& action);
  void update(int stage);
  void send(const Action& action);
  void finish();
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
  Seconds limit_;
  Account account_;
  Packet packet_;                    // the one in hand, or a micro-batch of it
  at::Tensor gradient_BCHW_;         // the one in hand
  Packet batch_;                     // what was fed, of which the micro-batches are
  Packet left_;                      // the micro-batches that have left the network
  std::optional<Packet> held_back_;  // fed, but a flush has to go first
  bool step_is_open_ = false;
  std::vector<int> expected_;                                  // by lane: gradients that are sure to come
  std::vector<std::deque<std::unique_ptr<SendHandle>>> sent_;  // by lane: sends not waited for, oldest first
  std::vector<std::unique_ptr<ReceiveHandle>> posted_;         // by lane: the receive posted ahead
};

}  // namespace lamina
