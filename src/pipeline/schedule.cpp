#include "lamina/pipeline/schedule.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "lamina/core/error.hpp"

namespace lamina {
namespace {

std::string text(const Action& action) {
  return fmt::format("{} of stage {}", name_of(action.op), action.stage);
}

// Plays a schedule slot by slot. In a slot a worker does what it can, up to and including one compute.
class Player {
 public:
  Player(const Schedule& schedule, int packets, int buffers)
      : schedule_(schedule),
        packets_(packets),
        buffers_(buffers),
        in_lane_(schedule.lanes.size(), 0),
        position_(schedule.rounds.size()),
        grid_{std::vector<std::vector<std::string>>(schedule.rounds.size())} {}

  Grid run() {
    while (!done()) {
      // What is sent in a slot can be received in the next: sends of this slot are counted afterwards.
      arriving_.assign(in_lane_.size(), 0);
      bool moved = false;
      for (std::size_t w = 0; w < position_.size(); ++w) moved |= advance(w);
      for (std::size_t lane = 0; lane < in_lane_.size(); ++lane) in_lane_[lane] += arriving_[lane];
      if (!moved) throw Error(ErrorKind::contract, deadlock());
    }
    return std::move(grid_);
  }

 private:
  struct Position {
    int packet = 0;
    std::size_t action = 0;
  };

  bool done() const {
    return std::all_of(position_.begin(), position_.end(),
                       [&](const Position& p) { return p.packet == packets_; });
  }

  const Action* next(std::size_t w) const {
    return position_[w].packet == packets_ ? nullptr : &schedule_.rounds[w][position_[w].action];
  }

  static bool takes(const Action& action) { return action.op == Op::receive || action.op == Op::join; }

  bool possible(const Action& action) const {
    if (takes(action)) return in_lane_[action.lane] > 0;
    if (action.op == Op::send) return in_lane_[action.lane] + arriving_[action.lane] < buffers_;
    return true;
  }

  bool advance(std::size_t w) {
    std::string cell;
    bool moved = false;
    while (const Action* action = next(w)) {
      if ((action->op == Op::compute && !cell.empty()) || !possible(*action)) break;
      if (takes(*action)) --in_lane_[action->lane];
      if (action->op == Op::send) ++arriving_[action->lane];
      if (action->op == Op::compute) cell = fmt::format("s{}:{}", action->stage, position_[w].packet);
      moved = true;
      if (++position_[w].action == schedule_.rounds[w].size()) position_[w] = {position_[w].packet + 1, 0};
    }
    grid_.cells[w].push_back(cell);
    return moved;
  }

  std::string deadlock() const {
    std::vector<std::string> waiting;
    for (std::size_t w = 0; w < position_.size(); ++w)
      if (const Action* action = next(w))
        waiting.push_back(fmt::format("worker {} at {}, packet {}", w, text(*action), position_[w].packet));
    return fmt::format("schedule {}: the workers wait for one another: {}", schedule_.name,
                       fmt::join(waiting, "; "));
  }

  const Schedule& schedule_;
  int packets_;
  int buffers_;
  std::vector<int> in_lane_;
  std::vector<int> arriving_;
  std::vector<Position> position_;
  Grid grid_;
};

// Lanes from every replica of one group to those of the next that have samples in common with it.
void connect(Schedule& schedule, const WorkerGroup& from, int first_receiver, int receivers) {
  const int stage = from.end_stage - 1;
  for (int i = 0; i < from.replicas; ++i) {
    const Replica sender{i, from.replicas};
    bool with_reports = true;
    for (int j = 0; j < receivers; ++j) {
      const Replica receiver{j, receivers};
      const int sending = from.first_worker + i, receiving = first_receiver + j;
      if (!may_share(sender, receiver) || sending == receiving) continue;
      const int lane = static_cast<int>(schedule.lanes.size());
      schedule.lanes.push_back({sending, receiving, stage, sender, receiver, with_reports});
      schedule.rounds[sending].push_back({Op::send, stage, lane});
      with_reports = false;
    }
  }
}

// What comes in on the worker's lanes: the first piece is received, the others join it.
void take(Schedule& schedule, int worker, int stage) {
  bool has_piece = false;
  for (std::size_t lane = 0; lane < schedule.lanes.size(); ++lane) {
    if (schedule.lanes[lane].to != worker) continue;
    schedule.rounds[worker].push_back({has_piece ? Op::join : Op::receive, stage, static_cast<int>(lane)});
    has_piece = true;
  }
}

}  // namespace

const char* name_of(Op op) {
  static constexpr std::array op_names = {"feed",     "receive", "join", "compute", "forward",
                                          "backward", "update",  "send", "finish"};
  return op_names[static_cast<std::size_t>(op)];
}

std::vector<int> WorkerGroup::workers() const {
  std::vector<int> workers(static_cast<std::size_t>(replicas));
  std::iota(workers.begin(), workers.end(), first_worker);
  return workers;
}

std::vector<int> WorkerGroup::stages() const {
  std::vector<int> stages;
  for (int stage = first_stage; stage < end_stage; stage += stage_stride) stages.push_back(stage);
  return stages;
}

std::vector<WorkerGroup> make_groups(const std::vector<int>& first_stage,
                                     const std::vector<std::int64_t>& replicas) {
  std::vector<WorkerGroup> groups;
  int first_worker = 0;
  for (std::size_t g = 0; g + 1 < first_stage.size(); ++g) {
    const int num_replicas = replicas.empty() ? 1 : static_cast<int>(replicas.at(g));
    groups.push_back({first_worker, num_replicas, first_stage[g], first_stage[g + 1]});
    first_worker += num_replicas;
  }
  return groups;
}

Schedule streaming_schedule(const std::vector<WorkerGroup>& groups) {
  const WorkerGroup& last = groups.back();
  Schedule schedule{.name = "streaming", .num_stages = last.end_stage, .rounds = {}, .lanes = {}};
  schedule.rounds.resize(static_cast<std::size_t>(last.first_worker + last.replicas));
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const WorkerGroup& group = groups[g];
    for (const int worker : group.workers()) {
      if (g == 0)
        schedule.rounds[worker].push_back({Op::feed, group.first_stage});
      else
        take(schedule, worker, group.first_stage);
      for (int stage = group.first_stage; stage < group.end_stage; ++stage)
        schedule.rounds[worker].push_back({Op::compute, stage});
    }
    if (g + 1 < groups.size()) connect(schedule, group, groups[g + 1].first_worker, groups[g + 1].replicas);
  }
  // Whole again at the first replica of the last group.
  const std::size_t before = schedule.lanes.size();
  connect(schedule, last, last.first_worker, /*receivers=*/1);
  for (std::size_t lane = before; lane < schedule.lanes.size(); ++lane)
    schedule.rounds[last.first_worker].push_back({Op::join, last.end_stage - 1, static_cast<int>(lane)});
  schedule.rounds[last.first_worker].push_back({Op::finish, last.end_stage - 1});
  return schedule;
}

Grid play(const Schedule& schedule, int packets, int buffers) {
  return Player(schedule, packets, buffers).run();
}

std::string text(const Grid& grid) {
  std::size_t width = 0;
  for (const auto& row : grid.cells)
    for (const std::string& cell : row) width = std::max(width, cell.size());
  std::string lines;
  for (std::size_t w = 0; w < grid.cells.size(); ++w) {
    std::string line = fmt::format("worker {:<3}", w);
    for (const std::string& cell : grid.cells[w])
      line += fmt::format(" {:<{}}", cell.empty() ? "." : cell, width);
    lines += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return lines;
}

}  // namespace lamina
