#include <fmt/format.h>

#include "backbone_families.hpp"

namespace lamina {
namespace {

std::vector<Conv> convolutions(const ResnetStages& stages, std::int64_t width, std::int64_t stride) {
  if (!stages.bottleneck) return {{width, 3, stride, 1}, {width, 3, 1, 1}};
  const std::int64_t inner = width * stages.widening;
  return {{inner, 1}, {inner, 3, stride, 1, stages.groups}, {4 * width, 1}};
}

// Convolutions with their norms, and a ReLU between each two.
BlockSpec residual_block(const BlockId& id, const std::vector<Conv>& convolutions) {
  BlockSpec block{
      .id = id, .name = fmt::format("layer{}.{}", id.stage, id.block), .body = {}, .residual = true};
  for (std::size_t i = 0; i < convolutions.size(); ++i) {
    if (i > 0) block.body.push_back({Relu{}});
    block.body.push_back({convolutions[i], fmt::format("conv{}", i + 1)});
    block.body.push_back({BatchNorm{}, fmt::format("bn{}", i + 1)});
  }
  return block;
}

ChainSpec pooled_linear(const FeatureShape&, std::int64_t num_classes) {
  return {{AdaptiveAvgPool{1}}, {Flatten{}}, {Linear{num_classes}, "fc"}};
}

BackbonePlan resnet(const ChainSpec& stem, std::int64_t channels, const ResnetStages& stages) {
  BackbonePlan plan{.blocks = {{.id = {0, 0}, .name = "", .body = stem}}, .classifier = pooled_linear};
  std::int64_t width = channels;
  for (std::int64_t stage = 1; const std::int64_t num_blocks : stages.blocks) {
    for (std::int64_t b = 0; b < num_blocks; ++b) {
      const std::int64_t stride = stage > 1 && b == 0 ? 2 : 1;
      const std::vector<Conv> body = convolutions(stages, width, stride);
      const std::int64_t out = body.back().out_channels;
      BlockSpec block = residual_block({stage, b}, body);
      if (stride > 1 || out != channels)
        block.shortcut = {{Conv{out, 1, stride}, "downsample.0"}, {BatchNorm{}, "downsample.1"}};
      plan.blocks.push_back(std::move(block));
      channels = out;
    }
    width *= 2;
    ++stage;
  }
  return plan;
}

}  // namespace

BackbonePlan cifar_resnet(const ResnetStages& stages) {
  return resnet({{Conv{16, 3, 1, 1}, "conv1"}, {BatchNorm{}, "bn1"}, {Relu{}}}, 16, stages);
}

BackbonePlan imagenet_resnet(const ResnetStages& stages) {
  return resnet({{Conv{64, 7, 2, 3}, "conv1"}, {BatchNorm{}, "bn1"}, {Relu{}}, {MaxPool{3, 2, 1}}}, 64,
                stages);
}

}  // namespace lamina
