#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "schedule_snapshots.hpp"
#include "schedule_traffic.hpp"

namespace lamina {

/// Plays a schedule: runs every worker as far as it gets, and what it waited for wakes it again.
class SchedulePlayer {
 public:
  SchedulePlayer(const Schedule& schedule, const PlayOptions& options, const PlayObserver& observe);

  /// @throws Error{contract} if somebody is left waiting.
  void run();

 private:
  /// What a packet is, and so what a worker does for it.
  enum Kind : std::size_t { first, next, pass, drain };  // first: a step with none before it still open
  /// One packet's way through all workers.
  struct Turn {
    Kind kind;
    std::int64_t packet;
    std::int64_t step;  // training packets before it
  };
  /// Where a worker is.
  struct Place {
    std::size_t turn = 0;
    std::size_t action = 0;
    double now_s = 0;
    Played played{};                    // the action under way
    bool came = false;                  // to the action
    bool asked = false;                 // within it: what was to be called has been called
    std::map<int, TrafficCall> sums{};  // begun and not waited for, by stage
    bool awake = false;
    bool left = false;
  };
  /// Both ends of a lane.
  struct Ends {
    std::deque<TrafficCall> sent{};       // not waited for, oldest first
    std::optional<TrafficCall> posted{};  // the receive posted ahead
    std::int64_t num_messages = 0;        // in all
    int num_expected = 0;                 // of a gradient lane: those that are sure to come
  };

  Place& place(int worker) { return places_[static_cast<std::size_t>(worker)]; }
  const Place& place(int worker) const { return places_[static_cast<std::size_t>(worker)]; }
  Ends& ends(int lane) { return ends_[static_cast<std::size_t>(lane)]; }
  const Ends& ends(int lane) const { return ends_[static_cast<std::size_t>(lane)]; }
  const std::vector<int>& lanes_from(int worker) const {
    return lanes_from_[static_cast<std::size_t>(worker)];
  }
  const std::vector<int>& workers_of(int stage) const { return workers_[static_cast<std::size_t>(stage)]; }

  void plan_turns();
  void count_messages();
  const Turn& turn(int worker) const { return turns_[place(worker).turn]; }
  bool trains(int worker) const { return turn(worker).kind == first || turn(worker).kind == next; }
  const std::vector<Action>& actions(int worker, Kind kind) const {
    return actions_[static_cast<std::size_t>(worker)][kind];
  }
  const Action* next_action(int worker) const;
  void wake(int worker);
  void advance(int worker);

  // Each is false while it cannot be finished.
  bool play_action(int worker, const Action& action);
  bool perform(int worker, const Action& action);
  bool await(int worker, const TrafficCall& call, double& account_s);
  bool take(int worker, int lane);
  bool send(int worker, int lane);
  void send_early(int worker, int lane);
  void expect_gradient(int worker, int stage);
  void begin_sum(int worker, int stage);
  bool work(int worker, const Action& action);
  bool fill_shadows(int worker, const Action& action);
  bool leave(int worker);

  void be_busy(int worker, const Action& action);
  void publish(int worker, const Action& action);

  Wait wait_of(int worker) const;
  std::string line(int worker, bool in_queue, const Wait& wait) const;
  std::string deadlock(int stuck) const;

  const Schedule& schedule_;
  const PlayOptions& options_;
  const PlayObserver& observe_;
  std::vector<std::vector<std::vector<Action>>> actions_;  // by worker and kind
  std::vector<Turn> turns_;
  const std::vector<std::vector<int>> workers_;  // by stage
  const Wake wake_;
  ScheduleTraffic traffic_;
  ScheduleSnapshots snapshots_;
  std::vector<Place> places_;  // by worker
  std::vector<Ends> ends_;     // by lane
  std::vector<std::vector<int>> lanes_from_;
  std::vector<std::vector<int>> gradient_lanes_;  // by stage: those that bring what its backward begins with
  std::vector<int> awake_;
};

}  // namespace lamina
