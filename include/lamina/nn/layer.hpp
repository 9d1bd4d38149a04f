#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "lamina/core/shape.hpp"

namespace lamina {

// The layers that networks are made of, as data. A square kernel; padding on every side.
struct Conv {
  std::int64_t out_channels;
  std::int64_t kernel;
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t groups = 1;  ///< divides the channels before and behind it
  bool bias = false;        ///< begins at 0
};
struct BatchNorm {};  ///< per channel, eps 1e-5; running statistics with momentum 0.1
struct Relu {};
struct Linear {
  std::int64_t out_features;
  bool zero_weight = false;  ///< the weight begins at 0, the bias as ever
};
struct AdaptiveAvgPool {
  std::int64_t side;  ///< of the output
};
struct MaxPool {
  std::int64_t kernel;
  std::int64_t stride;
  std::int64_t padding = 0;
};
struct AvgPool {
  std::int64_t kernel;  ///< and stride; what does not fill a kernel is left out
};
struct UpsampleBilinear {
  std::int64_t side;  ///< of the output, corner on corner
};
struct Sigmoid {};
struct Flatten {};  ///< {C, H, W} -> {C*H*W, 1, 1}

/// A layer and its name within the part that holds it, e.g. "conv1" or "downsample.0". Layers without tensors
/// need no name.
struct LayerSpec {
  using Op = std::variant<Conv, BatchNorm, Relu, Linear, AdaptiveAvgPool, AvgPool, MaxPool, UpsampleBilinear,
                          Sigmoid, Flatten>;
  Op op;
  std::string name{};
};

/// A layer applied to a shape: what comes out and what it costs.
struct LayerCost {
  FeatureShape out;
  std::int64_t parameters = 0;
  std::int64_t multiply_adds = 0;  ///< per sample, of convolutions and linear layers
};
/// @throws Error{config} if the layer cannot be applied to the shape.
LayerCost cost(const LayerSpec& layer, const FeatureShape& in);

/// Layers one after another.
using ChainSpec = std::vector<LayerSpec>;
LayerCost cost(const ChainSpec& chain, const FeatureShape& in);

}  // namespace lamina
