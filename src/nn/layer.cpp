#include "lamina/nn/layer.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lamina/core/error.hpp"

namespace lamina {
namespace {

// What a square window that slides over a feature map leaves of it: of a Conv or a MaxPool.
template <class Window>
FeatureShape slid(const Window& window, const char* name, const FeatureShape& in, std::int64_t channels) {
  const auto side = [&](std::int64_t n) {
    return (n + 2 * window.padding - window.kernel) / window.stride + 1;
  };
  if (std::min(in.height, in.width) + 2 * window.padding < window.kernel)
    throw Error(ErrorKind::config,
                fmt::format("a {0}x{0} {1} needs a feature map at least that large, found {2}x{3}",
                            window.kernel, name, in.height, in.width));
  return {channels, side(in.height), side(in.width)};
}

struct Costing {
  FeatureShape in;

  LayerCost operator()(const Conv& conv) const {
    if (in.channels % conv.groups != 0 || conv.out_channels % conv.groups != 0)
      throw Error(
          ErrorKind::config,
          fmt::format("a convolution of {} groups needs channels in multiples of that, found {} to {}",
                      conv.groups, in.channels, conv.out_channels));
    const FeatureShape out = slid(conv, "convolution", in, conv.out_channels);
    const std::int64_t weights = conv.out_channels * (in.channels / conv.groups) * conv.kernel * conv.kernel;
    return {out, weights + (conv.bias ? conv.out_channels : 0), weights * out.height * out.width};
  }
  LayerCost operator()(const BatchNorm&) const { return {in, 2 * in.channels, 0}; }
  LayerCost operator()(const Relu&) const { return {in}; }
  LayerCost operator()(const Linear& linear) const {
    const std::int64_t weights = linear.out_features * in.num_values();
    return {{linear.out_features}, weights + linear.out_features, weights};
  }
  LayerCost operator()(const AdaptiveAvgPool& pool) const { return {{in.channels, pool.side, pool.side}}; }
  LayerCost operator()(const MaxPool& pool) const { return {slid(pool, "pooling window", in, in.channels)}; }
  LayerCost operator()(const AvgPool& pool) const {
    if (in.height < pool.kernel || in.width < pool.kernel)
      throw Error(ErrorKind::config,
                  fmt::format("a {0}x{0} pool needs a feature map at least that large, found {1}x{2}",
                              pool.kernel, in.height, in.width));
    return {{in.channels, in.height / pool.kernel, in.width / pool.kernel}};
  }
  LayerCost operator()(const UpsampleBilinear& up) const { return {{in.channels, up.side, up.side}}; }
  LayerCost operator()(const Sigmoid&) const { return {in}; }
  LayerCost operator()(const Flatten&) const { return {{in.num_values()}}; }
};

}  // namespace

LayerCost cost(const LayerSpec& layer, const FeatureShape& in) {
  return std::visit(Costing{in}, layer.op);
}

LayerCost cost(const ChainSpec& chain, const FeatureShape& in) {
  LayerCost total{in};
  for (const LayerSpec& layer : chain) {
    const LayerCost one = cost(layer, total.out);
    total = {one.out, total.parameters + one.parameters, total.multiply_adds + one.multiply_adds};
  }
  return total;
}

}  // namespace lamina
