#include "module_runs.hpp"

#include <fmt/format.h>

#include "lamina/core/error.hpp"

namespace lamina {

StageSpec stage_of_modules(const RunPlan& plan, int first, int last, bool lookahead) {
  const auto begin = plan.modules.begin();
  std::vector<std::vector<ModuleSpec>> cut;
  if (first > 0) cut.emplace_back(begin, begin + first);
  const std::size_t number = cut.size();
  cut.emplace_back(begin + first, begin + last + 1);
  if (begin + last + 1 != plan.modules.end()) cut.emplace_back(begin + last + 1, plan.modules.end());
  StageSpec spec = make_stage_specs(cut, plan.stage_options.window, lookahead)[number];
  spec.index = 0;  // of the plan's stages there may be no more
  return spec;
}

RunPlan with_window(const RunPlan& plan, std::int64_t window) {
  if (plan.stage_options.window == window) return plan;
  RunConfig config = plan.config;
  config.method.mlaan.window = window;
  RunPlan other = make_run_plan(std::move(config), {});
  if (other.stage_options.window == window) return other;
  throw Error(ErrorKind::config,
              fmt::format("windows: expected 1, as method.mlaan is none, found {}", window));
}

}  // namespace lamina
