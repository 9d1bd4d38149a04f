#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lamina/core/config.hpp"
#include "lamina/nn/layer.hpp"

namespace lamina {

/// `[s,b]`: stage s (1-based), block b (0-based) of a ResNet; [0,0] is the stem.
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
  std::string name;  ///< prefix of its tensors in torchvision's naming, "layer1.0"; empty for the stem
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
  ChainSpec classifier{};  ///< tensors "fc.weight", "fc.bias"
  bool normalised = true;  ///< heads follow: without batch norm in the blocks there is none in the heads

  /// Index of a block. @throws Error{config} if there is none of that name, saying which there are.
  std::int64_t index_of(const BlockId& id) const;
};

struct ModelConfig {
  std::string backbone = "resnet32";
  std::int64_t classes = 0;    ///< 0: as the data set has
  std::string norm = "batch";  ///< batch | none
  void visit(FieldVisitor& v);
};

/// CIFAR ResNets "resnetN", N = 6n+2 (METHOD section 2), for images of `image` shape.
/// @throws Error{config} for a name not known.
Backbone make_backbone(const ModelConfig& config, const FeatureShape& image, std::int64_t num_classes);

}  // namespace lamina
