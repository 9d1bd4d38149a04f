#pragma once

#include <cstdint>
#include <vector>

#include "lamina/nn/backbone.hpp"

namespace lamina {

/// A network before an image gives it shapes.
struct BackbonePlan {
  std::vector<BlockSpec> blocks{};  ///< shapes and costs unset
  ChainSpec (*classifier)(const FeatureShape& in, std::int64_t num_classes){};
};

/// The block for an input of this shape: with its shapes and costs.
BlockSpec finished(BlockSpec block, const FeatureShape& in);

/// The stages of a ResNet.
struct ResnetStages {
  std::vector<std::int64_t> blocks;  ///< in each stage
  bool bottleneck = true;            ///< 1x1, 3x3, 1x1 convolutions; otherwise two 3x3
  std::int64_t groups = 1;           ///< of a bottleneck's 3x3 convolution
  std::int64_t widening = 1;         ///< of a bottleneck's inner channels
};
/// For small images: 16 channels in the first stage, and a stem that keeps the size.
BackbonePlan cifar_resnet(const ResnetStages& stages);
/// Torchvision's: 64 channels, and a stem that quarters the sides.
BackbonePlan imagenet_resnet(const ResnetStages& stages);

/// Torchvision's VGG with batch norm, with so many convolutions before each pool.
BackbonePlan vgg_bn(const std::vector<std::int64_t>& convolutions);

}  // namespace lamina
