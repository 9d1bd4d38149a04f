#include "lamina/study/module_profile.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lamina/core/error.hpp"
#include "module_runs.hpp"

namespace lamina {
namespace {

double transient(const RunCost& cost) {
  return cost.peak_bytes - cost.kept_bytes;
}

}  // namespace

RunCost WindowProfile::cost(int first, int last, bool lookahead) const {
  const int longest = static_cast<int>(runs.size());
  const auto run = [this](int size, int end) {
    return size == 0 ? RunCost{} : runs[static_cast<std::size_t>(size) - 1][static_cast<std::size_t>(end)];
  };
  const int head = std::min(longest, last - first + 1);
  RunCost cost = run(head, first + head - 1);
  double transient_bytes = transient(cost);
  const auto add = [&](const RunCost& with, const RunCost& without) {
    cost.seconds += with.seconds - without.seconds;
    cost.forward_s += with.forward_s - without.forward_s;
    cost.kept_bytes += with.kept_bytes - without.kept_bytes;
    transient_bytes = std::max(transient_bytes, transient(with));
  };
  for (int module = first + head; module <= last; ++module)
    add(run(longest, module), run(longest - 1, module - 1));
  if (lookahead && !with_shadows.empty() && last + 1 < static_cast<int>(with_shadows.size()))
    add(with_shadows[static_cast<std::size_t>(last)], run(std::min<int>(longest - 1, last + 1), last));
  cost.peak_bytes = cost.kept_bytes + transient_bytes;
  return cost;
}

const WindowProfile& ModuleProfile::of_window(std::int64_t window) const {
  const auto found = std::find_if(windows.begin(), windows.end(), [window](const WindowProfile& profile) {
    return profile.window == window;
  });
  if (found == windows.end())
    throw Error(ErrorKind::config,
                fmt::format("profile: expected measurements with windows of {} modules, found "
                            "none; measure anew",
                            window));
  return *found;
}

std::function<double(int first, int last)> snapshot_bytes(const RunPlan& plan, std::int64_t window,
                                                          bool lookahead) {
  return [plan = with_window(plan, window), lookahead](int first, int last) {
    const StageSpec stage = stage_of_modules(plan, first, last, lookahead);
    std::vector<std::string> parts = stage.shadowed();
    parts.insert(parts.end(), stage.published.begin(), stage.published.end());
    std::int64_t values = 0;
    for (const ModuleSpec& module : plan.modules) {
      const bool whole = std::ranges::count(parts, window_part_name(module.index)) > 0;
      for (const BlockSpec& block : module.blocks)
        values += block.parameters * (whole + std::ranges::count(parts, ema_part(block.name)));
      for (const BranchSpec& branch : module.branches)
        if (whole && branch.window_weight > 0) values += branch.parameters();
    }
    return 4.0 * static_cast<double>(values) * static_cast<double>(plan.snapshots.depth());
  };
}

StageProblem stage_problem(const ModuleProfile& profile, std::int64_t window, bool lookahead, int buffers) {
  const WindowProfile& costs = profile.of_window(window);
  const auto cost = [=, &profile, &costs](int first, int last) {
    const RunCost run = costs.cost(first, last, lookahead);
    StageCost stage{.seconds = run.seconds, .bytes = run.peak_bytes, .forward_share = run.forward_share()};
    stage.message_bytes = profile.message_bytes[static_cast<std::size_t>(last)];
    stage.bytes += buffers * stage.message_bytes;
    if (first > 0) stage.bytes += buffers * profile.message_bytes[static_cast<std::size_t>(first) - 1];
    for (int module = first; module <= last; ++module)
      stage.gradient_bytes += profile.gradient_bytes[static_cast<std::size_t>(module)];
    return stage;
  };
  return {.num_pieces = static_cast<int>(profile.message_bytes.size()), .cost = cost};
}

}  // namespace lamina
