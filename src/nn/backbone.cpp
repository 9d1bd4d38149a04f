#include "lamina/nn/backbone.hpp"

#include <fmt/format.h>

#include <charconv>

#include "lamina/core/error.hpp"
#include "strip_norm.hpp"

namespace lamina {
namespace {

constexpr std::int64_t stem_channels = 16;

BlockSpec finished(BlockSpec block, const FeatureShape& in) {
  const LayerCost body = cost(block.body, in);
  const LayerCost shortcut = cost(block.shortcut, in);
  block.in = in;
  block.out = body.out;
  block.parameters = body.parameters + shortcut.parameters;
  block.multiply_adds = body.multiply_adds + shortcut.multiply_adds;
  return block;
}

BlockSpec stem() {
  return {.id = {0, 0},
          .name = "",
          .body = {{Conv{stem_channels, 3, 1, 1}, "conv1"}, {BatchNorm{}, "bn1"}, {Relu{}}}};
}

BlockSpec basic_block(const BlockId& id, std::int64_t channels, std::int64_t stride, bool reshapes) {
  BlockSpec block{.id = id,
                  .name = fmt::format("layer{}.{}", id.stage, id.block),
                  .body = {{Conv{channels, 3, stride, 1}, "conv1"},
                           {BatchNorm{}, "bn1"},
                           {Relu{}},
                           {Conv{channels, 3, 1, 1}, "conv2"},
                           {BatchNorm{}, "bn2"}},
                  .residual = true};
  if (reshapes)
    block.shortcut = {{Conv{channels, 1, stride, 0}, "downsample.0"}, {BatchNorm{}, "downsample.1"}};
  return block;
}

// n of "resnetN", N = 6n + 2.
std::int64_t blocks_per_stage(const std::string& name) {
  constexpr std::string_view family = "resnet";
  std::int64_t layers = 0;
  if (name.starts_with(family)) {
    const char* end = name.data() + name.size();
    const auto [stop, error] = std::from_chars(name.data() + family.size(), end, layers);
    if (error == std::errc() && stop == end && layers >= 8 && layers % 6 == 2) return (layers - 2) / 6;
  }
  throw Error(
      ErrorKind::config,
      fmt::format("model.backbone: expected resnetN with N = 6n+2 (resnet8, 14, 20, 32, 44, 56, 110, ...), "
                  "found \"{}\"",
                  name));
}

}  // namespace

std::string text(const BlockId& id) {
  return fmt::format("[{},{}]", id.stage, id.block);
}

void ModelConfig::visit(FieldVisitor& v) {
  v.field("backbone", &backbone, "resnetN, N = 6n+2: resnet20, 32, 44, 56, 110, ...");
  v.field("classes", &classes, "classes to tell apart; 0: as the data set has", at_least(0));
  v.field("norm", &norm, "batch norm, or none at all", one_of({"batch", "none"}));
}

std::int64_t Backbone::index_of(const BlockId& id) const {
  for (std::size_t i = 0; i < blocks.size(); ++i)
    if (blocks[i].id == id) return static_cast<std::int64_t>(i);
  throw Error(ErrorKind::config, fmt::format("{} has no block {}; its blocks are {} to {}", name, text(id),
                                             text(blocks.front().id), text(blocks.back().id)));
}

Backbone make_backbone(const ModelConfig& config, const FeatureShape& image, std::int64_t num_classes) {
  Backbone net{.name = config.backbone, .num_classes = num_classes};
  const std::int64_t n = blocks_per_stage(config.backbone);
  FeatureShape shape = image;
  const auto append = [&](BlockSpec block) {
    if (config.norm == "none") {
      block.body = strip_norm(block.body);
      block.shortcut = strip_norm(block.shortcut);
    }
    net.blocks.push_back(finished(std::move(block), shape));
    shape = net.blocks.back().out;
  };
  append(stem());
  for (std::int64_t stage = 1; stage <= 3; ++stage)
    for (std::int64_t b = 0; b < n; ++b) {
      const std::int64_t channels = stem_channels << (stage - 1);
      const bool narrows = stage > 1 && b == 0;
      append(basic_block({stage, b}, channels, narrows ? 2 : 1, narrows));
    }
  net.classifier = {{AdaptiveAvgPool{1}}, {Flatten{}}, {Linear{num_classes}, "fc"}};
  net.normalised = config.norm == "batch";
  return net;
}

}  // namespace lamina
