#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lamina/nn/module.hpp"

namespace lamina {

/// What one stage computes, as data: its modules, and what it has to know of the stages behind it.
struct StageSpec {
  int index = 0;
  std::vector<ModuleSpec> modules{};
  std::vector<ModuleSpec> lookahead{};    ///< later stages' modules whose windows reach into this stage
  std::vector<BlockSpec> foreign_emas{};  ///< blocks of later stages whose EMAs the LAMs here use
  std::vector<std::string> published{};   ///< parts that earlier stages shadow

  bool needs_image() const;
  /// Parts that this stage shadows; see ema_part and window_part_name.
  std::vector<std::string> shadowed() const;
};

/// Names of parts on the snapshot plane: a block's EMA, and what a shadow of a module takes (its blocks and
/// the branch of its window, so that all of it is of one version).
std::string ema_part(const std::string& block);
std::string window_part_name(std::int64_t module);

/// The specs of stages that hold these modules. `window` is k; without `lookahead` windows end with their
/// stage.
std::vector<StageSpec> make_stage_specs(const std::vector<std::vector<ModuleSpec>>& stages,
                                        std::int64_t window, bool lookahead);

/// By stage, the stages that own the parts it shadows, in rising order.
std::vector<std::vector<int>> shadowed_stages(const std::vector<StageSpec>& specs);

}  // namespace lamina
