#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lamina/pipeline/schedule_play.hpp"

namespace lamina {
namespace {

// What fills a slot; nothing for the rest.
std::string cell(const Played& played) {
  const Action& action = played.action;
  switch (action.op) {
    case Op::compute:
      return fmt::format("s{}:{}", action.stage, played.packet);
    case Op::forward:
      return fmt::format("f{}:{}.{}", action.stage, played.packet, action.micro);
    case Op::backward:
      return fmt::format("b{}:{}.{}", action.stage, played.packet - action.steps_back, action.micro);
    default:
      return {};
  }
}

bool fills_a_slot(const Action& action) {
  return action.op == Op::compute || action.op == Op::forward || action.op == Op::backward;
}

}  // namespace

Grid play(const Schedule& schedule, int packets, int buffers) {
  Grid grid{std::vector<std::vector<std::string>>(schedule.rounds.size())};
  std::size_t num_slots = 0;
  PlayOptions options{.packets = packets, .buffers = buffers};
  options.seconds = [](int, const Action& action, std::int64_t) { return fills_a_slot(action) ? 1.0 : 0.0; };
  play(schedule, options, [&](const Played& played) {
    if (!fills_a_slot(played.action)) return;
    std::vector<std::string>& row = grid.cells[static_cast<std::size_t>(played.worker)];
    row.resize(static_cast<std::size_t>(std::llround(played.began_s)));
    row.push_back(cell(played));
    num_slots = std::max(num_slots, row.size());
  });
  for (std::vector<std::string>& row : grid.cells) row.resize(num_slots);
  return grid;
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
