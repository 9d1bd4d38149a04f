#include "lamina/pipeline/stage_spec.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace lamina {
namespace {

bool holds(const std::vector<ModuleSpec>& modules, const std::string& block) {
  return std::any_of(modules.begin(), modules.end(), [&](const ModuleSpec& module) {
    return std::any_of(module.blocks.begin(), module.blocks.end(),
                       [&](const BlockSpec& b) { return b.name == block; });
  });
}

// `of_shadows`: only the branches that a shadow runs.
void add_foreign_emas(StageSpec& stage, const ModuleSpec& module, bool of_shadows) {
  for (const BranchSpec& branch : module.branches) {
    if (of_shadows && branch.window_weight == 0) continue;
    for (const LeapSpec& leap : branch.leaps) {
      const std::string& name = leap.block.name;
      const bool known = std::any_of(stage.foreign_emas.begin(), stage.foreign_emas.end(),
                                     [&](const BlockSpec& b) { return b.name == name; });
      if (leap.with_ema && !known && !holds(stage.modules, name)) stage.foreign_emas.push_back(leap.block);
    }
  }
}

bool owns(const StageSpec& stage, const std::string& part) {
  for (const ModuleSpec& module : stage.modules) {
    if (part == window_part_name(module.index)) return true;
    for (const EmaSpec& ema : module.emas)
      if (part == ema_part(module.blocks[ema.block].name)) return true;
  }
  return false;
}

}  // namespace

std::string ema_part(const std::string& block) {
  return "ema." + block;
}

std::string window_part_name(std::int64_t module) {
  return fmt::format("module.{}", module);
}

bool StageSpec::needs_image() const {
  const auto needs = [](const ModuleSpec& module) { return module.needs_image(); };
  return std::any_of(modules.begin(), modules.end(), needs) ||
         std::any_of(lookahead.begin(), lookahead.end(), needs);
}

std::vector<std::string> StageSpec::shadowed() const {
  std::vector<std::string> parts;
  for (const BlockSpec& block : foreign_emas) parts.push_back(ema_part(block.name));
  for (const ModuleSpec& module : lookahead) parts.push_back(window_part_name(module.index));
  return parts;
}

std::vector<StageSpec> make_stage_specs(const std::vector<std::vector<ModuleSpec>>& stages,
                                        std::int64_t window, bool lookahead) {
  std::vector<ModuleSpec> all;
  for (const auto& stage : stages) all.insert(all.end(), stage.begin(), stage.end());
  std::vector<StageSpec> specs;
  std::set<std::string> wanted;
  for (const auto& modules : stages) {
    StageSpec spec{.index = static_cast<int>(specs.size()), .modules = modules};
    const auto next = static_cast<std::size_t>(modules.back().index) + 1;
    for (std::size_t i = next; lookahead && i < all.size() && i < next + static_cast<std::size_t>(window) - 1;
         ++i)
      spec.lookahead.push_back(all[i]);
    for (const ModuleSpec& module : spec.modules) add_foreign_emas(spec, module, false);
    for (const ModuleSpec& module : spec.lookahead) add_foreign_emas(spec, module, true);
    for (const std::string& part : spec.shadowed()) wanted.insert(part);
    specs.push_back(std::move(spec));
  }
  for (StageSpec& spec : specs)
    for (const std::string& part : wanted)
      if (owns(spec, part)) spec.published.push_back(part);
  return specs;
}

std::vector<std::vector<int>> shadowed_stages(const std::vector<StageSpec>& specs) {
  std::vector<std::vector<int>> all;
  for (const StageSpec& reader : specs) {
    std::set<int> owners;
    for (const std::string& part : reader.shadowed())
      for (const StageSpec& owner : specs)
        if (owns(owner, part)) owners.insert(owner.index);
    all.emplace_back(owners.begin(), owners.end());
  }
  return all;
}

}  // namespace lamina
