#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lamina/nn/branch.hpp"
#include "lamina/nn/method_config.hpp"

namespace lamina {

/// A block of which an EMA is kept, because some LAM leaps to it.
struct EmaSpec {
  std::size_t block = 0;  ///< of the module's blocks
  bool updated = true;    ///< `compat: release` leaves all but one as they began
};

/// A module as data: a run of blocks, what trains it, and the EMAs that it keeps for others.
struct ModuleSpec {
  std::int64_t index = 0;
  std::int64_t first_block = 0;
  std::int64_t last_block = 0;  ///< inclusive
  bool is_last = false;
  std::vector<BlockSpec> blocks{};
  std::vector<BranchSpec> branches{};
  std::vector<EmaSpec> emas{};
  FeatureShape in{};
  FeatureShape out{};

  std::int64_t parameters() const;            ///< trained: of the blocks and the branches
  std::int64_t multiply_adds() const;         ///< forward of the blocks, per sample
  std::int64_t branch_multiply_adds() const;  ///< forward of leaps and heads, per sample
  bool needs_image() const;
};

/// The modules that a backbone is cut into by `ends` (indices of last blocks, all but the last module's),
/// with their branches as `method` has them.
/// @throws Error{config} for leaps or heads that cannot be.
std::vector<ModuleSpec> make_modules(const Backbone& backbone, const std::vector<std::int64_t>& ends,
                                     const MethodConfig& method);

/// One forward of a module, with its graph kept for pullbacks (docs/method.md, The step).
struct Pass {
  at::Tensor input;     ///< a leaf: no gradient crosses it but by pull_to_input
  at::Tensor output{};  ///< holds the graph
  at::Tensor features() const { return output.detach(); }
};

/// The gradient at the pass's input for one at its output; the graph stays for further pullbacks.
at::Tensor pull_to_input(const Pass& pass, const at::Tensor& grad_BCHW);

/// A module with its tensors.
///
/// Threads  one at a time, the worker's.
class Module {
 public:
  Module(const ModuleSpec& spec, const Initializer& init);

  const ModuleSpec& spec() const { return spec_; }

  /// The blocks on a detached x_BCHW. But in Mode::eval the graph is kept, for pullbacks to the input as well
  /// if `to_input`; Mode::train updates the running statistics.
  Pass forward(const at::Tensor& x_BCHW, Mode mode, bool to_input = false) const;

  /// Gradients of the blocks' parameters for a gradient at the pass's output; frees the pass's graph.
  std::vector<at::Tensor> pull_to_parameters(const Pass& pass, const at::Tensor& grad_BCHW) const;

  /// The same, and behind them the gradient at the pass's input, if forward was asked for it: one backward
  /// for both.
  std::vector<at::Tensor> pull(const Pass& pass, const at::Tensor& grad_BCHW) const;

  const std::vector<Branch>& branches() const { return branches_; }
  /// @throws Error{contract} unless this is the last module.
  const Branch& classifier() const;

  /// ema = momentum * ema + (1 - momentum) * live, for the EMAs that are updated. To be called once a step,
  /// before the optimizer (docs/method.md, Leaps).
  void update_emas(double momentum) const;

  /// An EMA that this module keeps.
  struct Ema {
    std::string block;  ///< its name
    Block copy;         ///< tensors "ema.<block>.*"
    std::vector<at::Tensor> live;
    bool updated;
  };
  const std::vector<Ema>& emas() const { return emas_; }

  /// Parameters of the blocks; then, in `parameters()`, of the branches: the order of the gradients.
  const std::vector<at::Tensor>& block_parameters() const { return block_parameters_; }
  std::vector<at::Tensor> parameters() const { return trained(tensors()); }

  /// Every tensor: of the blocks, the branches, the EMAs. Names are unique over the whole network.
  std::vector<NamedTensor> tensors() const;
  const std::vector<Block>& blocks() const { return blocks_; }

 private:
  ModuleSpec spec_;
  std::vector<Block> blocks_;
  std::vector<Branch> branches_;
  std::vector<Ema> emas_;
  std::vector<at::Tensor> block_parameters_;
};

/// A later module as a stage before it sees it: copies of its blocks and of the branch that its window runs
/// through, for gradients to its input alone (docs/method.md, As a pipeline).
class ShadowModule {
 public:
  ShadowModule(const ModuleSpec& spec, const Initializer& init);

  const ModuleSpec& spec() const { return spec_; }
  Pass forward(const at::Tensor& x_BCHW) const;
  /// Gradient of the window's loss at the module's output; undefined if it has none.
  at::Tensor window_grad(const at::Tensor& features, const Targets& targets, const EmaBlocks& emas) const;

  /// The tensors that have to be filled with the owner's before a step, in the order of window_part().
  std::vector<at::Tensor> tensors() const;

 private:
  ModuleSpec spec_;
  std::vector<Block> blocks_;
  std::vector<Branch> branches_;
};

/// What a module's owner publishes for shadows of it: the blocks' parameters, then those of the branches with
/// a window.
std::vector<at::Tensor> window_part(const Module& module);

}  // namespace lamina
