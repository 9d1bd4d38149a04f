#pragma once

#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lamina/pipeline/schedule_play.hpp"

namespace lamina {

/// The time of what is not known yet.
constexpr double never = std::numeric_limits<double>::infinity();

/// Told that something has become known that this worker may wait for.
using Wake = std::function<void(int worker)>;

/// What a worker, or its NCCL queue, waits for.
struct Wait {
  std::string what;
  int worker = 0;         ///< who has to do something first
  bool in_queue = false;  ///< it has called for it, but its NCCL queue stands before that
};

/// One worker's part in a message or in a sum.
struct TrafficCall {
  int channel = 0;  ///< a lane, or behind those a stage's sums
  int member = 0;   ///< of a lane: 0 sends, 1 receives
  std::int64_t number = 0;
};

/// When the messages and sums of a played schedule are through. A message's way begins once both ends have
/// come to it; over NCCL a worker comes to what its queue has come to.
class ScheduleTraffic {
 public:
  ScheduleTraffic(const Schedule& schedule, const PlayOptions& options, Wake wake);

  TrafficCall send(int lane, double now_s);
  TrafficCall post_receive(int lane, double now_s);
  TrafficCall begin_sum(int stage, int worker, double now_s);

  /// The worker begins to wait for it: NCCL is given what has been held.
  void ask(const TrafficCall& call, double now_s);

  /// When it is done with; `never` while that is not known.
  double done_s(const TrafficCall& call) const;
  /// done_s() will not be called any more for this one.
  void forget(const TrafficCall& call);

  /// What a call that is not done waits for.
  Wait wait_for(const TrafficCall& call) const;
  /// What a worker's NCCL queue waits for.
  Wait wait_of_queue(int worker) const;

 private:
  /// A message or a sum. Times by member.
  struct Meeting {
    explicit Meeting(std::size_t members) : came_s(members, never), done_s(members, never) {}
    std::vector<double> came_s;
    std::vector<double> done_s;
    std::size_t num_came = 0;
    std::size_t num_forgotten = 0;
  };
  struct Channel {
    std::vector<int> workers;
    LinkTime link;
    std::vector<std::int64_t> num_calls;  // by member
    std::deque<Meeting> meetings;
    std::int64_t first = 0;  // the number of the first one in `meetings`
    double free_s = 0;
  };
  /// Calls that NCCL proceeds with at the same time, and that end together.
  struct Group {
    std::vector<TrafficCall> calls;
    double issued_s;
    bool begun = false;
    std::size_t num_open = 0;
    double end_s = 0;
  };
  struct Queue {
    std::vector<TrafficCall> held_sends;
    std::vector<TrafficCall> held_receives;
    std::deque<Group> groups;
    double free_s = 0;
    bool receives_hold_nothing_back = true;
  };
  /// Between two workers NCCL takes messages in the order of the sends, whatever the channel.
  struct PairOrder {
    std::deque<int> sends;
    std::deque<int> receives;
  };

  bool over_nccl() const { return carrier_ != Carrier::separate_lanes; }
  bool is_lane(int channel) const { return channel < num_lanes_; }
  int worker_of(const TrafficCall& call) const;
  TrafficCall new_call(int channel, int member);
  Meeting& meeting(const TrafficCall& call);
  const Meeting* find(const TrafficCall& call) const;
  void come(const TrafficCall& call, double now_s);
  void settle(const TrafficCall& call, double end_s);
  void issue(int worker, std::vector<TrafficCall> calls, double now_s);
  void issue_sends(int worker, double now_s);
  void run_queues();
  void run_queue(int worker);
  void keep_order(const TrafficCall& call);
  void keep_order(int from, int to, int channel, bool sends);
  bool is_queued(int worker, const TrafficCall& call) const;
  std::string text(const TrafficCall& call) const;

  const Carrier carrier_;
  const int num_lanes_;
  const Wake wake_;
  std::vector<Channel> channels_;
  std::vector<Queue> queues_;  // by worker
  std::vector<int> stirred_;   // workers whose queues may go on
  std::map<std::pair<int, int>, PairOrder> order_;
};

}  // namespace lamina
