#pragma once

#include <cstdint>
#include <vector>

#include "lamina/core/config.hpp"
#include "lamina/nn/module.hpp"

namespace lamina {

/// Multiply-adds of one training step of a module, per sample: forward and twice as many backward, head
/// included. Static, so that every worker finds the same cut.
double training_cost(const ModuleSpec& module);

/// How many stages a configuration asks for.
std::int64_t num_stages(const IntOrList& stages);

/// Modules of each stage, in order: `stages: N` makes the most expensive stage as cheap as it can be by
/// training_cost; a list names the last module of every stage but the last.
/// @throws Error{config} for more stages than modules, or ends out of order or out of range.
std::vector<std::vector<ModuleSpec>> cut_into_stages(const std::vector<ModuleSpec>& modules,
                                                     const IntOrList& stages);

/// The first stage of each worker, then the number of stages: worker w owns stages [first[w], first[w+1]).
/// Stages are dealt out contiguously, the costs of the workers as even as can be.
/// @throws Error{config} for more workers than stages.
std::vector<int> deal_stages(const std::vector<std::vector<ModuleSpec>>& stages, std::int64_t workers);

}  // namespace lamina
