#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lamina/core/config.hpp"
#include "lamina/nn/layer.hpp"

namespace lamina {

/// `[s,b]`: stage s (1-based), block b (0-based); [0,0] is a ResNet's stem. A VGG has no stem: its stages lie
/// between its pools, and its blocks are its convolutions, each with its norm, ReLU and the pool behind it.
struct BlockId {
  std::int64_t stage = 0;
  std::int64_t block = 0;
  friend bool operator==(const BlockId&, const BlockId&) = default;
};
/// "[2,1]"
std::string text(const BlockId& id);

/// The smallest piece of a backbone that may be cut off: body(x), plus shortcut(x) and ReLU if residual.
struct BlockSpec {
  BlockId id;
  std::string name;  ///< of its own, in torchvision's naming: "layer1.0", "features.7"; empty for the stem
  std::string prefix{};  ///< begins its tensors' names, where that is not "<name>.": "features."
  ChainSpec body;
  ChainSpec shortcut{};  ///< empty: identity
  bool residual = false;
  FeatureShape in{};
  FeatureShape out{};
  std::int64_t parameters = 0;
  std::int64_t multiply_adds = 0;  ///< forward, per sample
};

/// A network without its heads: blocks in order, and what classifies the last one's output.
struct Backbone {
  std::string name;
  std::int64_t num_classes = 0;
  std::vector<BlockSpec> blocks{};
  ChainSpec classifier{};  ///< tensors "fc.weight", "fc.bias"; of a VGG "classifier.0.weight", ...
  bool normalised = true;  ///< heads follow: without batch norm in the blocks there is none in the heads

  /// Index of a block. @throws Error{config} if there is none of that name, saying which there are.
  std::int64_t index_of(const BlockId& id) const;
  /// The same for a pair [stage,block] from a config. Errors begin with `place`, e.g. "partition.ends".
  std::int64_t index_of(const std::vector<std::int64_t>& pair, std::string_view place) const;
  /// Blocks without the stem: the modules of a cut at "every block".
  std::int64_t num_blocks_behind_stem() const;
};

struct ModelConfig {
  std::string backbone = "resnet32";
  std::int64_t classes = 0;    ///< 0: as the data set has
  std::string norm = "batch";  ///< batch | none
  std::string init{};  ///< safetensors file with torchvision's names to begin with; empty: the seed's values
  void visit(FieldVisitor& v);
};

/// A network of docs/method.md, Backbones, for images of `image` shape:
///
/// * torchvision's names mean torchvision's networks for ImageNet: resnet34, resnet50, resnet101, resnet152,
///   resnext101_32x8d, vgg13_bn, vgg19_bn. Images may be of other sizes (a VGG needs 32x32).
/// * "cifar-resnetN" with N = 6n+2 is a CIFAR ResNet, and so is "resnetN" unless torchvision has one of that
///   name (resnet50 and resnet152). Backbone::name is the shorter of the two names.
///
/// Tensors have torchvision's names and shapes. Of a VGG there is a difference to torchvision: its classifier
/// has no dropout, and where the features are smaller than 7x7 (images below 224) and pooling them to 7x7
/// would only repeat values, it is pooled to 1x1 and linear ("classifier.weight", "classifier.bias").
/// @throws Error{config} for a name not known, with the one that may be meant.
Backbone make_backbone(const ModelConfig& config, const FeatureShape& image, std::int64_t num_classes);

}  // namespace lamina
