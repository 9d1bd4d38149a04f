#include "lamina/pipeline/stage_cut.hpp"

#include <fmt/format.h>

#include "lamina/core/error.hpp"
#include "lamina/nn/partition.hpp"

namespace lamina {
namespace {

std::vector<std::int64_t> checked_ends(const std::vector<std::int64_t>& ends, std::int64_t num_modules) {
  std::int64_t before = -1;
  for (const std::int64_t end : ends) {
    if (end <= before || end >= num_modules - 1)
      throw Error(
          ErrorKind::config,
          fmt::format("pipeline.stages: expected ascending module numbers from 0 to {}, found {} after {}",
                      num_modules - 2, end, before));
    before = end;
  }
  return ends;
}

double stage_cost(const std::vector<ModuleSpec>& stage) {
  double sum = 0;
  for (const ModuleSpec& module : stage) sum += training_cost(module);
  return sum;
}

}  // namespace

double training_cost(const ModuleSpec& module) {
  constexpr double forward_and_backward = 3.0;
  return forward_and_backward * static_cast<double>(module.multiply_adds() + module.branch_multiply_adds());
}

std::int64_t num_stages(const IntOrList& stages) {
  const auto* ends = std::get_if<std::vector<std::int64_t>>(&stages);
  return ends ? static_cast<std::int64_t>(ends->size()) + 1 : std::get<std::int64_t>(stages);
}

std::vector<std::vector<ModuleSpec>> cut_into_stages(const std::vector<ModuleSpec>& modules,
                                                     const IntOrList& stages) {
  const auto num_modules = static_cast<std::int64_t>(modules.size());
  std::vector<std::int64_t> ends;
  if (const auto* list = std::get_if<std::vector<std::int64_t>>(&stages)) {
    ends = checked_ends(*list, num_modules);
  } else {
    const std::int64_t count = std::get<std::int64_t>(stages);
    if (count < 1 || count > num_modules)
      throw Error(ErrorKind::config,
                  fmt::format("pipeline.stages: expected 1 to {} (there are {} modules), found {}",
                              num_modules, num_modules, count));
    std::vector<double> costs;
    for (const ModuleSpec& module : modules) costs.push_back(training_cost(module));
    ends = balanced_cut(costs, count);
  }
  ends.push_back(num_modules - 1);
  std::vector<std::vector<ModuleSpec>> cut;
  std::int64_t first = 0;
  for (const std::int64_t end : ends) {
    cut.emplace_back(modules.begin() + first, modules.begin() + end + 1);
    first = end + 1;
  }
  return cut;
}

std::vector<int> deal_stages(const std::vector<std::vector<ModuleSpec>>& stages, std::int64_t workers) {
  const auto num_stages = static_cast<std::int64_t>(stages.size());
  if (workers < 1 || workers > num_stages)
    throw Error(ErrorKind::config,
                fmt::format("pipeline.workers: expected 1 to {} (there are {} stages), found {}", num_stages,
                            num_stages, workers));
  std::vector<double> costs;
  for (const auto& stage : stages) costs.push_back(stage_cost(stage));
  std::vector<int> first{0};
  for (const std::int64_t end : balanced_cut(costs, workers)) first.push_back(static_cast<int>(end) + 1);
  first.push_back(static_cast<int>(num_stages));
  return first;
}

}  // namespace lamina
