#include "lamina/nn/chain.hpp"

#include <ATen/ATen.h>

namespace lamina {
namespace {

constexpr double norm_eps = 1e-5;
constexpr double norm_momentum = 0.1;

using Forward = std::function<at::Tensor(const at::Tensor& x, Mode mode)>;

// Builds one layer: enters its tensors under its name, and returns what it computes.
struct LayerBuilder {
  const FeatureShape& in;
  const std::string& layer;
  const TensorSet& set;
  const Initializer& init;
  std::vector<NamedTensor>& tensors;

  TensorName named(const char* suffix) const {
    return {set.prefix + layer + suffix, set.like + layer + suffix};
  }
  at::Tensor enter(const char* suffix, const at::Tensor& value, bool parameter = true) const {
    tensors.push_back({set.prefix + layer + suffix, value, parameter && set.role == Role::trained});
    return value;
  }

  Forward operator()(const Conv& conv) const {
    const at::Tensor weight = enter(".weight", init.conv_weight(named(".weight"), conv.out_channels,
                                                                in.channels / conv.groups, conv.kernel));
    at::Tensor bias;
    if (conv.bias) bias = enter(".bias", init.constant(named(".bias"), {conv.out_channels}, 0.0));
    return [weight, bias, conv](const at::Tensor& x, Mode) {
      return at::conv2d(x, weight, bias, {conv.stride, conv.stride}, {conv.padding, conv.padding}, {1, 1},
                        conv.groups);
    };
  }

  Forward operator()(const BatchNorm&) const {
    const at::Tensor weight = enter(".weight", init.constant(named(".weight"), in.channels, 1.0));
    const at::Tensor bias = enter(".bias", init.constant(named(".bias"), in.channels, 0.0));
    if (set.role == Role::shadow)
      return [=](const at::Tensor& x, Mode) {
        return at::batch_norm(x, weight, bias, {}, {}, true, norm_momentum, norm_eps, true);
      };
    const at::Tensor mean =
        enter(".running_mean", init.buffer(named(".running_mean"), in.channels, 0.0), false);
    const at::Tensor variance =
        enter(".running_var", init.buffer(named(".running_var"), in.channels, 1.0), false);
    const at::Tensor batches =
        enter(".num_batches_tracked", init.counter(named(".num_batches_tracked")), false);
    return [=](const at::Tensor& x, Mode mode) {
      if (mode == Mode::replay)
        return at::batch_norm(x, weight, bias, {}, {}, true, norm_momentum, norm_eps, true);
      const bool training = mode == Mode::train;
      if (training) batches.add_(1);
      return at::batch_norm(x, weight, bias, mean, variance, training, norm_momentum, norm_eps, true);
    };
  }

  // In place: what stands before it (a norm, a convolution, a linear layer, a sum) does not need its own
  // output for the backward pass, so a feature map less is kept.
  Forward operator()(const Relu&) const {
    return [](const at::Tensor& x, Mode) { return at::relu_(const_cast<at::Tensor&>(x)); };
  }

  Forward operator()(const Linear& linear) const {
    const std::int64_t fan_in = in.num_values();
    const at::Tensor weight = enter(
        ".weight", linear.zero_weight ? init.constant(named(".weight"), {linear.out_features, fan_in}, 0.0)
                                      : init.linear_weight(named(".weight"), linear.out_features, fan_in));
    const at::Tensor bias = enter(".bias", init.linear_bias(named(".bias"), linear.out_features, fan_in));
    return [weight, bias](const at::Tensor& x, Mode) { return at::linear(x, weight, bias); };
  }

  // The global pool's gradient is one value a channel, spread: with the channels last it has to lie as the
  // features do, or the backward of the ReLU before it runs through memory crosswise, 20 times slower.
  Forward operator()(const AdaptiveAvgPool& pool) const {
    return [pool](const at::Tensor& x, Mode) {
      if (pool.side == 1 && x.is_contiguous(at::MemoryFormat::ChannelsLast))
        return x.permute({0, 2, 3, 1}).mean({1, 2}).unsqueeze(-1).unsqueeze(-1);
      return at::adaptive_avg_pool2d(x, {pool.side, pool.side});
    };
  }

  Forward operator()(const MaxPool& pool) const {
    return [pool](const at::Tensor& x, Mode) {
      return at::max_pool2d(x, {pool.kernel, pool.kernel}, {pool.stride, pool.stride},
                            {pool.padding, pool.padding});
    };
  }

  Forward operator()(const AvgPool& pool) const {
    return [pool](const at::Tensor& x, Mode) { return at::avg_pool2d(x, {pool.kernel, pool.kernel}); };
  }

  Forward operator()(const UpsampleBilinear& up) const {
    return [up](const at::Tensor& x, Mode) {
      return at::upsample_bilinear2d(x, {up.side, up.side}, /*align_corners=*/true);
    };
  }

  // Its output is for a loss that takes logarithms of it and of what it lacks to 1: bfloat16 would be 1 too
  // soon.
  Forward operator()(const Sigmoid&) const {
    return [](const at::Tensor& x, Mode) {
      return at::sigmoid(x.scalar_type() == at::kBFloat16 ? x.to(at::kFloat) : x);
    };
  }

  Forward operator()(const Flatten&) const {
    return [](const at::Tensor& x, Mode) { return x.flatten(1); };
  }
};

}  // namespace

Chain::Chain(const ChainSpec& spec, const FeatureShape& in, const TensorSet& set, const Initializer& init) {
  const Initializer values = set.role == Role::trained ? init : init.frozen();
  FeatureShape shape = in;
  for (const LayerSpec& layer : spec) {
    layers_.push_back(std::visit(LayerBuilder{shape, layer.name, set, values, tensors_}, layer.op));
    shape = cost(layer, shape).out;
  }
}

at::Tensor Chain::forward(const at::Tensor& x, Mode mode) const {
  at::Tensor y = x;
  for (const auto& layer : layers_) y = layer(y, mode);
  return y;
}

std::vector<at::Tensor> trained(const std::vector<NamedTensor>& tensors) {
  std::vector<at::Tensor> parameters;
  for (const NamedTensor& entry : tensors)
    if (entry.trained) parameters.push_back(entry.tensor);
  return parameters;
}

std::vector<at::Tensor> values(const std::vector<NamedTensor>& tensors) {
  std::vector<at::Tensor> all;
  for (const NamedTensor& entry : tensors) all.push_back(entry.tensor);
  return all;
}

void append(std::vector<NamedTensor>& all, const std::vector<NamedTensor>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

}  // namespace lamina
