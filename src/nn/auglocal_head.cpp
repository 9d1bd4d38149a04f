#include "auglocal_head.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "backbone_families.hpp"
#include "lamina/core/error.hpp"
#include "strip_norm.hpp"

namespace lamina {
namespace {

std::int64_t num_layers(const Backbone& backbone) {
  return static_cast<std::int64_t>(backbone.blocks.size());
}

// d_l: the chain gets shorter from the first module to the last that has one.
std::int64_t chain_length(const MethodConfig& method, const HeadPlace& place) {
  const std::int64_t steps = place.num_modules - 2;
  const double r =
      steps < 1 ? 0.0
                : method.auglocal_taper * static_cast<double>(place.module) / static_cast<double>(steps);
  return std::max<std::int64_t>(
      1, std::llrint(static_cast<double>(method.auglocal_depth) * (1 - r) + r));  // half to even
}

// The i-th of `count` layers that lie evenly behind the one that the head looks at. The stem is of another
// kind, so it is never one of them.
std::int64_t layer_at(const HeadPlace& place, std::int64_t i, std::int64_t count) {
  const std::int64_t left = num_layers(place.backbone) - place.block - 1;
  const double step = static_cast<double>(left) / static_cast<double>(count);
  const auto layer = std::llrint(static_cast<double>(place.block) + step * static_cast<double>(i));
  return std::max<std::int64_t>(layer, 1);
}

// The layers of `like` with names by their order ("conv1", "bn1", "conv2", ...) and with the stride at the
// first convolution that is larger than 1x1, where torchvision's blocks have it. Pools are left out.
ChainSpec restrided(const ChainSpec& like, std::int64_t stride) {
  ChainSpec body;
  int num_convs = 0, num_norms = 0;
  for (const LayerSpec& layer : like) {
    if (const Conv* conv = std::get_if<Conv>(&layer.op)) {
      Conv copy = *conv;
      copy.stride = copy.kernel > 1 ? std::exchange(stride, 1) : 1;
      body.push_back({copy, fmt::format("conv{}", ++num_convs)});
    } else if (std::holds_alternative<BatchNorm>(layer.op)) {
      body.push_back({layer.op, fmt::format("bn{}", ++num_norms)});
    } else if (std::holds_alternative<Relu>(layer.op)) {
      body.push_back(layer);
    }
  }
  return body;
}

// A block as `like`, for what another one gave.
BlockSpec fresh_block(const BlockSpec& like, const FeatureShape& in, bool normalised, std::string name) {
  const std::int64_t width = like.out.channels;
  const std::int64_t stride = width >= 2 * in.channels ? 2 : 1;
  BlockSpec block{.id = like.id,
                  .name = std::move(name),
                  .body = restrided(like.body, stride),
                  .residual = like.residual};
  if (like.residual && width != in.channels) {
    block.shortcut = {{Conv{width, 1, stride, 0}, "downsample.0"}, {BatchNorm{}, "downsample.1"}};
    if (!normalised) block.shortcut = strip_norm(block.shortcut);
  }
  return finished(std::move(block), in);
}

}  // namespace

HeadTerm auglocal_term(const MethodConfig& method, const HeadPlace& place) {
  const Backbone& backbone = place.backbone;
  const std::int64_t length = chain_length(method, place);
  HeadTerm term;
  FeatureShape shape = place.in;
  for (std::int64_t i = 1; i <= length; ++i) {
    term.blocks.push_back(fresh_block(backbone.blocks[layer_at(place, i, length)], shape, backbone.normalised,
                                      fmt::format("block.{}", i - 1)));
    shape = term.blocks.back().out;
  }
  term.layers = {{AdaptiveAvgPool{1}}, {Flatten{}}};
  if (length <= 1) term.layers.push_back({BatchNorm{}, "bn"});
  term.layers.push_back({Linear{backbone.num_classes}, "fc"});
  return term;
}

std::vector<std::int64_t> auglocal_ends(const Backbone& backbone, std::int64_t depth) {
  const std::int64_t modules = num_layers(backbone) - depth;
  if (modules < 2)
    throw Error(
        ErrorKind::config,
        fmt::format("method.auglocal_depth: expected at most {}, two less than {} has layers, found {}",
                    num_layers(backbone) - 2, backbone.name, depth));
  std::vector<std::int64_t> ends(modules - 1);
  std::iota(ends.begin(), ends.end(), 0);
  return ends;
}

}  // namespace lamina
