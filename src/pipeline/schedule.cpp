#include "lamina/pipeline/schedule.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "lamina/core/error.hpp"

namespace lamina {
namespace {

constexpr std::array<const char*, 5> op_names = {"feed", "receive", "compute", "send", "finish"};

std::string text(const Action& action) {
  return fmt::format("{} of stage {}", op_names[static_cast<int>(action.op)], action.stage);
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

  bool possible(const Action& action) const {
    if (action.op == Op::receive) return in_lane_[action.lane] > 0;
    if (action.op == Op::send) return in_lane_[action.lane] + arriving_[action.lane] < buffers_;
    return true;
  }

  bool advance(std::size_t w) {
    std::string cell;
    bool moved = false;
    while (const Action* action = next(w)) {
      if ((action->op == Op::compute && !cell.empty()) || !possible(*action)) break;
      if (action->op == Op::receive) --in_lane_[action->lane];
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

}  // namespace

Schedule streaming_schedule(const std::vector<int>& first_stage) {
  const int num_workers = static_cast<int>(first_stage.size()) - 1;
  Schedule schedule{.name = "streaming", .num_stages = first_stage.back(), .rounds = {}, .lanes = {}};
  for (int w = 0; w < num_workers; ++w) {
    const int first = first_stage[w];
    const int last = first_stage[w + 1] - 1;
    std::vector<Action> round;
    round.push_back(w == 0 ? Action{Op::feed, first} : Action{Op::receive, first, w - 1});
    for (int stage = first; stage <= last; ++stage) round.push_back({Op::compute, stage});
    const bool ends = w == num_workers - 1;
    round.push_back(ends ? Action{Op::finish, last} : Action{Op::send, last, w});
    if (!ends) schedule.lanes.push_back({w, w + 1, last});
    schedule.rounds.push_back(std::move(round));
  }
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
