#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lamina/core/config.hpp"
#include "lamina/nn/block.hpp"
#include "lamina/nn/head.hpp"

namespace lamina {

struct MethodConfig {
  std::string framework = "dgl";  ///< greedy | dgl | e2e
  std::string head = "auto";      ///< auto: the framework's own
  void visit(FieldVisitor& v);
};

/// A module as data: a run of blocks and the head that trains it.
struct ModuleSpec {
  std::int64_t index = 0;
  std::int64_t first_block = 0;
  std::int64_t last_block = 0;  ///< inclusive
  std::vector<BlockSpec> blocks{};
  std::string head_name{};    ///< as in METHOD section 5, or "classifier"
  std::string head_prefix{};  ///< of its tensors' names: "head.<i>.independent.", or "" for the classifier
  ChainSpec head{};
  FeatureShape in{};
  FeatureShape out{};

  bool is_last() const { return head_name == "classifier"; }
  std::int64_t parameters() const;          ///< of the blocks and the head
  std::int64_t multiply_adds() const;       ///< forward of the blocks, per sample
  std::int64_t head_multiply_adds() const;  ///< forward of the head, per sample
};

/// The modules that a backbone is cut into by `ends` (indices of last blocks, all but the last module's).
std::vector<ModuleSpec> make_modules(const Backbone& backbone, const std::vector<std::int64_t>& ends,
                                     const MethodConfig& method);

/// One forward of a module, with its graph kept for pullbacks (METHOD section 6).
struct Pass {
  at::Tensor input;     ///< a leaf: no gradient crosses it
  at::Tensor output{};  ///< holds the graph
  at::Tensor features() const { return output.detach(); }
};

/// A module with its tensors.
///
/// Threads  one at a time, the worker's.
class Module {
 public:
  Module(const ModuleSpec& spec, const Initializer& init);

  const ModuleSpec& spec() const { return spec_; }

  /// The blocks on a detached x_BCHW. In Mode::train the graph is kept and the running statistics are
  /// updated.
  Pass forward(const at::Tensor& x_BCHW, Mode mode) const;

  /// Gradients of the blocks' parameters for a gradient at the pass's output; frees the pass's graph.
  std::vector<at::Tensor> pull_to_parameters(const Pass& pass, const at::Tensor& grad_BCHW) const;

  const Head& head() const { return head_; }

  /// Parameters of the blocks and then of the head, in the order of the gradients.
  const std::vector<at::Tensor>& block_parameters() const { return block_parameters_; }
  const std::vector<at::Tensor>& head_parameters() const { return head_parameters_; }

  /// Every tensor, blocks first. Names are unique over the whole network.
  std::vector<NamedTensor> tensors() const;

 private:
  ModuleSpec spec_;
  std::vector<Block> blocks_;
  Head head_;
  std::vector<at::Tensor> block_parameters_;
  std::vector<at::Tensor> head_parameters_;
};

}  // namespace lamina
