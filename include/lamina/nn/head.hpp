#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lamina/nn/block.hpp"

namespace lamina {

/// What a batch should have been told to be.
struct Targets {
  at::Tensor y_B;           ///< int64
  at::Tensor image_BCHW{};  ///< where a head needs it: uint8, or floating in [0,1]; the augmented image
};

/// How a term compares its output with the targets; docs/method.md, Heads and losses.
enum class LossKind {
  cross_entropy,   ///< output {B, classes} with the labels
  contrast,        ///< output {B, features}: supervised contrastive, temperature 0.07
  reconstruction,  ///< output {B, 3, H, W} in [0,1]: binary cross-entropy with the image
  similarity,      ///< output {B, C, H, W}: the samples' likenesses to one another with the labels'
};

/// One summand of a head's loss: residual blocks, then layers, then a comparison.
struct HeadTerm {
  std::string name{};  ///< begins its tensors' names behind the head's prefix: "task.", ""
  LossKind loss = LossKind::cross_entropy;
  double weight = 1;
  std::vector<BlockSpec> blocks{};
  ChainSpec layers{};
  int quadrant = -1;  ///< 0..3, row by row: sees that quarter of the features, and is shown that of the image
  std::int64_t num_classes = 0;  ///< where the loss makes vectors of the labels (similarity)
};

/// A head as data: the sum of its terms.
struct HeadSpec {
  std::string name{};  ///< for people
  std::vector<HeadTerm> terms{};

  bool needs_image() const;
};

/// What a term sees of features of shape `in`: all, or a quarter.
FeatureShape seen_by(const HeadTerm& term, const FeatureShape& in);

/// Parameters and multiply-adds of a head for features of shape `in`.
LayerCost cost(const HeadSpec& head, const FeatureShape& in);

/// True if the head normalises over the batch alone, so that a batch of one sample has no variance.
bool normalises_single_values(const HeadSpec& head, const FeatureShape& in);

/// What a head says of a batch, with the graph to differentiate.
struct HeadLoss {
  at::Tensor total{};    ///< scalar: sum of weight * term, each a mean over the samples
  at::Tensor correct{};  ///< int64 scalar: samples whose largest logit is the label's; undefined: no term
                         ///< classifies
};

/// A head with its tensors.
class Head {
 public:
  Head(const HeadSpec& spec, const FeatureShape& in, const TensorSet& set, const Initializer& init);

  /// @throws Error{contract} if a term needs the image and `targets` holds none, or one of another shape.
  HeadLoss loss(const at::Tensor& features, const Targets& targets, Mode mode) const;

  /// features -> logits {B, classes} of the first term that classifies.
  at::Tensor logits(const at::Tensor& features, Mode mode) const;

  std::vector<NamedTensor> tensors() const;

 private:
  struct Term {
    HeadTerm spec;
    std::vector<Block> blocks;
    Chain layers;
    at::Tensor output(const at::Tensor& features, Mode mode) const;
  };
  std::vector<Term> terms_;
};

}  // namespace lamina
