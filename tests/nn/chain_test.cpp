#include "lamina/nn/chain.hpp"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "nn/examples.hpp"

namespace lamina {
namespace {

const ChainSpec every_layer{{Conv{6, 3, 2, 1}, "conv"}, {BatchNorm{}, "bn"}, {Relu{}},
                            {AdaptiveAvgPool{2}},       {Flatten{}},         {Linear{5}, "fc"}};

TEST(Chain, EveryLayerGivesTheShapeAndHoldsTheParametersOfItsCost) {
  const FeatureShape in{4, 9, 7};
  for (std::size_t layers = 1; layers <= every_layer.size(); ++layers) {
    const ChainSpec spec(every_layer.begin(), every_layer.begin() + static_cast<std::ptrdiff_t>(layers));
    const Chain chain(spec, in, "", doubles());
    const LayerCost expected = cost(spec, in);
    const at::Tensor y = chain.forward(batch_of(3, in), Mode::train);
    EXPECT_EQ(y.size(0), 3);
    EXPECT_EQ(y[0].numel(), expected.out.num_values());
    EXPECT_EQ(num_values(trained(chain.tensors())), expected.parameters);
  }
}

TEST(Chain, NamesBeginWithThePrefixAndParametersAreTold) {
  const Chain chain(every_layer, {4, 8, 8}, "head.3.", doubles());
  std::vector<std::string> parameters, buffers;
  for (const NamedTensor& entry : chain.tensors())
    (entry.trained ? parameters : buffers).push_back(entry.name);
  EXPECT_EQ(parameters, (std::vector<std::string>{"head.3.conv.weight", "head.3.bn.weight", "head.3.bn.bias",
                                                  "head.3.fc.weight", "head.3.fc.bias"}));
  EXPECT_EQ(buffers, (std::vector<std::string>{"head.3.bn.running_mean", "head.3.bn.running_var",
                                               "head.3.bn.num_batches_tracked"}));
  for (const NamedTensor& entry : chain.tensors()) EXPECT_EQ(entry.tensor.requires_grad(), entry.trained);
}

TEST(Chain, TheGlobalPoolIsTheMeanAndItsGradientLiesAsTheFeaturesDo) {
  const FeatureShape in{6, 4, 5};
  const Chain pool({{AdaptiveAvgPool{1}}}, in, "", doubles());
  for (const at::MemoryFormat format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    const at::Tensor x = batch_of(3, in).contiguous(format).requires_grad_(true);
    const at::Tensor y = pool.forward(x, Mode::train);
    EXPECT_EQ(y.sizes(), (std::vector<std::int64_t>{3, 6, 1, 1}));
    EXPECT_LT(distance(y, x.detach().mean({2, 3}, /*keepdim=*/true)), 1e-15);
    const at::Tensor grad = torch::autograd::grad({y}, {x}, {at::ones_like(y)}).front();
    EXPECT_EQ(at::relu(grad).strides(), x.strides());
    EXPECT_LT((grad - 1.0 / 20).abs().max().item<double>(), 1e-15);
  }
}

TEST(Chain, TrainingNormalisesByTheBatchAndMovesTheRunningStatisticsOnce) {
  const Chain norm({{BatchNorm{}, "bn"}}, {4, 5, 5}, "", doubles());
  const at::Tensor x = 3.0 * batch_of(6, {4, 5, 5}) + 2.0;
  const at::Tensor y = norm.forward(x, Mode::train);
  const std::vector<std::int64_t> over{0, 2, 3};
  const at::Tensor mean = x.mean(over);
  EXPECT_LT(y.mean(over).abs().max().item<double>(), 1e-12);
  EXPECT_LT((y.var(over, false) - 1.0).abs().max().item<double>(), 1e-5);

  const auto tensors = by_name(norm.tensors());
  EXPECT_LT(distance(tensors.at("bn.running_mean"), 0.1 * mean), 1e-12);
  EXPECT_LT(distance(tensors.at("bn.running_var"), 0.9 + 0.1 * x.var(over, true)), 1e-12);
  EXPECT_EQ(tensors.at("bn.num_batches_tracked").item<std::int64_t>(), 1);
}

TEST(Chain, EvaluationNormalisesByTheRunningStatisticsAndKeepsThem) {
  const Chain norm({{BatchNorm{}, "bn"}}, {4, 5, 5}, "", doubles());
  const auto tensors = by_name(norm.tensors());
  const auto wide = [](const at::Tensor& t) { return t.view({1, 4, 1, 1}); };
  norm.forward(3.0 * batch_of(6, {4, 5, 5}) + 2.0, Mode::train);
  stir(trained(norm.tensors()));
  const at::Tensor mean = tensors.at("bn.running_mean").clone(),
                   variance = tensors.at("bn.running_var").clone();

  const at::Tensor x = batch_of(2, {4, 5, 5}, 9);
  const at::Tensor expected =
      (x - wide(mean)) / (wide(variance) + 1e-5).sqrt() * wide(tensors.at("bn.weight")) +
      wide(tensors.at("bn.bias"));
  EXPECT_LT(distance(norm.forward(x, Mode::eval), expected), 1e-12);
  EXPECT_TRUE(at::equal(tensors.at("bn.running_mean"), mean));
  EXPECT_TRUE(at::equal(tensors.at("bn.running_var"), variance));
  EXPECT_EQ(tensors.at("bn.num_batches_tracked").item<std::int64_t>(), 1);
}

TEST(Chain, AShadowNormalisesByTheBatchWithoutStatisticsOfItsOwn) {
  const FeatureShape in{4, 8, 8};
  const Chain owner(every_layer, in, "head.3.", doubles());
  const Chain shadow(every_layer, in, TensorSet{"ema.", "head.3.", Role::shadow}, doubles());
  const at::Tensor x = batch_of(5, in);
  for (const Mode mode : {Mode::train, Mode::eval})
    EXPECT_TRUE(at::equal(shadow.forward(x, mode), owner.forward(x, Mode::train)));

  std::vector<std::string> names;
  for (const NamedTensor& entry : shadow.tensors()) {
    names.push_back(entry.name);
    EXPECT_FALSE(entry.trained);
    EXPECT_FALSE(entry.tensor.requires_grad());
  }
  EXPECT_EQ(names, (std::vector<std::string>{"ema.conv.weight", "ema.bn.weight", "ema.bn.bias",
                                             "ema.fc.weight", "ema.fc.bias"}));
  EXPECT_TRUE(same(values_of(shadow.tensors()), trained(owner.tensors())));
}

TEST(Chain, LeavesItsInputAsItWas) {
  for (std::size_t skipped = 0; skipped < 2; ++skipped) {
    const ChainSpec spec(every_layer.begin() + static_cast<std::ptrdiff_t>(skipped), every_layer.end());
    const at::Tensor x = batch_of(3, {6, 8, 8});
    const at::Tensor before = x.clone();
    Chain(spec, {6, 8, 8}, "", doubles()).forward(x, Mode::train);
    EXPECT_TRUE(at::equal(x, before));
  }
}

}  // namespace
}  // namespace lamina
