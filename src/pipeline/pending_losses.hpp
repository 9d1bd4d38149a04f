#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "lamina/nn/branch.hpp"
#include "lamina/pipeline/packet.hpp"

namespace lamina {

/// Losses and counts of a step, where they were computed. Who reads a number from a GPU waits for all that
/// the GPU was given before, so they are read together once the step has been given to it.
class PendingLosses {
 public:
  /// The branches that follow are of a next module.
  void next_module() { modules_.emplace_back(); }
  void add(const std::string& branch, const BranchResult& result);

  /// All losses together, as one number of shape {1} and in double: finite only if they all are.
  at::Tensor total() const;

  struct Read {
    std::vector<ModuleReport> modules{};
    std::vector<double> further{};
  };
  /// All of them, and further numbers behind them, in one copy, without changing a bit.
  Read read(const std::vector<at::Tensor>& further = {}) const;

 private:
  struct Said {
    std::string branch;
    at::Tensor loss;
    at::Tensor correct;
  };
  std::vector<std::vector<Said>> modules_;
};

}  // namespace lamina
