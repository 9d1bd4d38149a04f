#include <fmt/format.h>

#include <algorithm>

#include "backbone_families.hpp"

namespace lamina {
namespace {

constexpr std::int64_t full_side = 7;  // of the features of an image of 224
constexpr std::int64_t hidden_features = 4096;

ChainSpec classifier(const FeatureShape& in, std::int64_t num_classes) {
  if (std::min(in.height, in.width) < full_side)
    return {{AdaptiveAvgPool{1}}, {Flatten{}}, {Linear{num_classes}, "classifier"}};
  return {{AdaptiveAvgPool{full_side}},
          {Flatten{}},
          {Linear{hidden_features}, "classifier.0"},
          {Relu{}},
          {Linear{hidden_features}, "classifier.3"},
          {Relu{}},
          {Linear{num_classes}, "classifier.6"}};
}

}  // namespace

BackbonePlan vgg_bn(const std::vector<std::int64_t>& convolutions) {
  BackbonePlan plan{.classifier = classifier};
  std::int64_t layer = 0;  // torchvision counts ReLUs and pools as well
  for (std::int64_t stage = 1; const std::int64_t num_convolutions : convolutions) {
    const Conv conv{
        .out_channels = std::min<std::int64_t>(32 << stage, 512), .kernel = 3, .padding = 1, .bias = true};
    for (std::int64_t b = 0; b < num_convolutions; ++b) {
      plan.blocks.push_back(
          {.id = {stage, b},
           .name = fmt::format("features.{}", layer),
           .prefix = "features.",
           .body = {
               {conv, fmt::format("{}", layer)}, {BatchNorm{}, fmt::format("{}", layer + 1)}, {Relu{}}}});
      layer += 3;
    }
    plan.blocks.back().body.push_back({MaxPool{2, 2}});
    ++layer;
    ++stage;
  }
  return plan;
}

}  // namespace lamina
