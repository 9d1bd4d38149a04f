#include <fmt/format.h>

#include <algorithm>

#include "lamina/core/error.hpp"
#include "lamina/nn/framework.hpp"
#include "lamina/nn/leap.hpp"
#include "lamina/nn/module.hpp"
#include "strip_norm.hpp"

// How a method becomes the branches of every module.
namespace lamina {
namespace {

// A method worked out for one cut of one backbone.
struct Plan {
  const Backbone& backbone;
  const MethodConfig& method;
  const MlaanConfig mlaan;
  const std::vector<std::int64_t>& ends;
  std::vector<std::vector<std::int64_t>> leaps;

  bool release() const { return method.compat == "release"; }
  std::int64_t num_modules() const { return static_cast<std::int64_t>(ends.size()) + 1; }
  bool has_lams() const { return mlaan.lam_on != "none"; }
};

std::vector<LeapSpec> leaps_of(const Plan& plan, std::int64_t module) {
  std::vector<LeapSpec> leaps;
  for (const std::int64_t block : plan.leaps[module])
    leaps.push_back({plan.backbone.blocks[block], leaps.empty() || plan.mlaan.ema_depth == "all"});
  return leaps;
}

BranchSpec make_branch(const Plan& plan, const ModuleSpec& module, const std::string& name) {
  BranchSpec branch{.name = name, .module = module.index, .in = module.out};
  const bool cascaded = name == "cascaded";
  (cascaded ? branch.window_weight : branch.own_weight) = cascaded ? plan.mlaan.wy : plan.mlaan.wx;
  if (plan.mlaan.lam_on == name) {
    branch.leaps = leaps_of(plan, module.index);
    branch.scaled = plan.mlaan.scale;
  }
  branch.head = make_head(
      plan.method, {.backbone = plan.backbone,
                    .module = module.index,
                    .num_modules = plan.num_modules(),
                    .block = branch.leaps.empty() ? module.last_block : plan.leaps[module.index].back(),
                    .in = branch.head_in()});
  return branch;
}

std::vector<BranchSpec> make_branches(const Plan& plan, const ModuleSpec& module) {
  if (module.is_last)
    return {{.name = "classifier",
             .module = module.index,
             .in = module.out,
             .head = classifier_head(plan.backbone),
             .own_weight = plan.release() ? 0 : plan.mlaan.wx,
             .window_weight = plan.release() ? 1 : plan.mlaan.wy}};
  if (plan.method.framework == "e2e") return {};  // what trains them comes from the last
  // The released code has no window that begins before the first module, and no other loss there.
  if (plan.release() && module.index < plan.mlaan.window - 1) return {};
  std::vector<BranchSpec> branches;
  if (plan.mlaan.wx > 0) branches.push_back(make_branch(plan, module, "independent"));
  if (plan.mlaan.wy > 0) branches.push_back(make_branch(plan, module, "cascaded"));
  return branches;
}

// Every block that some LAM leaps to with an EMA has one, kept by the module that holds the block.
void place_emas(const Plan& plan, std::vector<ModuleSpec>& modules) {
  std::vector<std::string> wanted;
  for (const ModuleSpec& module : modules)
    for (const BranchSpec& branch : module.branches)
      for (const LeapSpec& leap : branch.leaps)
        if (leap.with_ema) wanted.push_back(leap.block.name);
  std::vector<std::string> of_the_last;  // those the released code keeps up to date
  for (const std::int64_t block : plan.leaps.empty() ? std::vector<std::int64_t>{} : plan.leaps.back())
    of_the_last.push_back(plan.backbone.blocks[block].name);
  if (plan.mlaan.ema_depth == "first" && !of_the_last.empty()) of_the_last.resize(1);
  const auto in = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  for (ModuleSpec& module : modules)
    for (std::size_t b = 0; b < module.blocks.size(); ++b) {
      const std::string& name = module.blocks[b].name;
      if (in(wanted, name)) module.emas.push_back({b, !plan.release() || in(of_the_last, name)});
    }
}

}  // namespace

std::vector<ModuleSpec> make_modules(const Backbone& backbone, const std::vector<std::int64_t>& ends,
                                     const MethodConfig& method) {
  Plan plan{backbone, method, resolve_mlaan(method), ends, {}};
  if (plan.has_lams()) plan.leaps = leap_sets(backbone, ends, plan.mlaan.leaps, plan.release());
  std::vector<ModuleSpec> modules;
  std::int64_t first = 0;
  for (std::int64_t i = 0; i < plan.num_modules(); ++i) {
    const bool last = i == plan.num_modules() - 1;
    const std::int64_t end = last ? static_cast<std::int64_t>(backbone.blocks.size()) - 1 : ends[i];
    ModuleSpec module{.index = i, .first_block = first, .last_block = end, .is_last = last};
    module.blocks.assign(backbone.blocks.begin() + first, backbone.blocks.begin() + end + 1);
    module.in = module.blocks.front().in;
    module.out = module.blocks.back().out;
    module.branches = make_branches(plan, module);
    if (!backbone.normalised)
      for (BranchSpec& branch : module.branches) strip_norm(branch.head);
    modules.push_back(std::move(module));
    first = end + 1;
  }
  place_emas(plan, modules);
  return modules;
}

}  // namespace lamina
