#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "lamina/nn/head.hpp"

namespace lamina {

/// One block of a LAM's chain: a trained copy of a later block, and beside it the block's EMA or not.
struct LeapSpec {
  BlockSpec block;
  bool with_ema = false;
};

/// What looks at a module's output and trains by it: a head, before it a LAM or nothing; docs/method.md,
/// Leaps. Its gradient goes to the module alone (own) and through the module's window (window), by weight.
struct BranchSpec {
  std::string name;  ///< independent | cascaded | classifier
  std::int64_t module = 0;
  FeatureShape in{};  ///< the module's output
  HeadSpec head{};
  double own_weight = 0;
  double window_weight = 0;
  std::vector<LeapSpec> leaps{};
  bool scaled = false;  ///< y = s*aug + (2-s)*ema with s trained (MAN++)

  FeatureShape head_in() const { return leaps.empty() ? in : leaps.back().block.out; }
  std::string head_prefix() const;     ///< "head.<module>.<name>.", or "" for the classifier
  std::int64_t parameters() const;     ///< trained: of the leaps and the head
  std::int64_t multiply_adds() const;  ///< forward per sample, EMAs included
};

/// The EMA blocks that LAMs may use, by the block's name.
using EmaBlocks = std::map<std::string, const Block*>;

/// What a branch says of a batch. All of it lies where it was computed: nothing here waits for a device.
struct BranchResult {
  at::Tensor loss{};         ///< scalar: the head's, without the branch's weights; mean over the samples
  at::Tensor correct{};      ///< int64 scalar, as HeadLoss has it
  at::Tensor own_grad{};     ///< own_weight * d loss / d features; undefined if that weight is 0
  at::Tensor window_grad{};  ///< window_weight * d loss / d features; undefined if that weight is 0
  std::vector<at::Tensor> parameter_grads{};  ///< of (own_weight + window_weight) * loss
};

/// A branch with its tensors: "lam.<i>.aug.<j>.*" and "head.<i>.<name>.*".
///
/// Threads  one at a time.
class Branch {
 public:
  /// As a shadow it has no gradients of its own and gives `window_grad` alone.
  Branch(const BranchSpec& spec, Role role, const Initializer& init);

  const BranchSpec& spec() const { return spec_; }

  /// Loss and gradients. The features are detached first: the gradient reaches the module only through the
  /// result (docs/method.md, The step).
  BranchResult train(const at::Tensor& features, const Targets& targets, const EmaBlocks& emas) const;

  /// The classifier's loss on the test set; parameters' gradients are empty. Not for branches with leaps.
  BranchResult eval(const at::Tensor& features, const Targets& targets) const;

  const Head& head() const { return head_; }

  /// Leaps first. Of a shadow: the parameters that it copies.
  std::vector<NamedTensor> tensors() const;
  const std::vector<at::Tensor>& parameters() const { return parameters_; }

 private:
  at::Tensor leap(const at::Tensor& features, const EmaBlocks& emas) const;

  BranchSpec spec_;
  std::vector<Block> augs_;
  std::vector<NamedTensor> scale_;  // one tensor, or none
  Head head_;
  std::vector<at::Tensor> parameters_;
};

}  // namespace lamina
