#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lamina/core/config.hpp"
#include "lamina/nn/backbone.hpp"

namespace lamina {

struct PartitionConfig {
  IntOrAuto modules{};            ///< K; auto: as `ends` says, or every block (the stem with the first)
  IntLists ends{};                ///< explicit: the last block [s,b] of every module but the last
  std::string balance = "table";  ///< table | uniform | cost, where `ends` is empty
  void visit(FieldVisitor& v);
};

/// The blocks that end the modules, all but the last module's: docs/method.md, Modules and cuts.
///
/// `table` takes the published cut of this backbone and K, or `uniform` where none is published. `uniform`
/// spreads the blocks evenly, `cost` spreads their multiply-adds (static: a measured cut is for `lamina
/// plan`).
/// @return indices into backbone.blocks, ascending.
/// @throws Error{config} for K larger than the blocks, or ends that are unknown or out of order.
std::vector<std::int64_t> cut_into_modules(const Backbone& backbone, const PartitionConfig& config);

/// Cuts a list of costs into `parts` contiguous parts with the smallest possible largest sum; among those
/// cuts, one with the smallest sum of squares. @return the last index of every part but the last.
/// @throws Error{config} if there are fewer costs than parts.
std::vector<std::int64_t> balanced_cut(const std::vector<double>& costs, std::int64_t parts);

}  // namespace lamina
