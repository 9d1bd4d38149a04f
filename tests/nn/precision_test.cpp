#include "lamina/nn/precision.hpp"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <thread>

#include "lamina/core/error.hpp"
#include "lamina/nn/head.hpp"
#include "nn/examples.hpp"
#include "nn/gradients.hpp"

namespace lamina {
namespace {

at::ScalarType type_of_a_product() {
  return at::linear(at::ones({2, 3}), at::ones({4, 3})).scalar_type();
}

TEST(PrecisionScope, IsItsThreadsAloneAndEndsWithItself) {
  EXPECT_EQ(type_of_a_product(), at::kFloat);
  {
    const PrecisionScope scope(Precision::bf16, at::kCPU);
    EXPECT_EQ(type_of_a_product(), at::kBFloat16);
    std::thread([] { EXPECT_EQ(type_of_a_product(), at::kFloat); }).join();
    {
      const OwnTypes own;
      EXPECT_EQ(type_of_a_product(), at::kFloat);
    }
    EXPECT_EQ(type_of_a_product(), at::kBFloat16);
  }
  EXPECT_EQ(type_of_a_product(), at::kFloat);
  EXPECT_TRUE(at::autocast::is_autocast_cache_enabled());
}

TEST(PrecisionScope, Fp32LeavesTypesAlone) {
  const PrecisionScope scope(Precision::fp32, at::kCPU);
  EXPECT_EQ(type_of_a_product(), at::kFloat);
}

TEST(PrecisionScope, OnAGpuTf32IsAllowedIfAndOnlyIfItIsAskedFor) {
  const at::Context& context = at::globalContext();
  for (const Precision precision : {Precision::tf32, Precision::fp32, Precision::tf32, Precision::bf16}) {
    const PrecisionScope scope(precision, at::kCUDA);
    for (const auto op : {at::Float32Op::CONV, at::Float32Op::MATMUL})
      EXPECT_EQ(context.float32Precision(at::Float32Backend::CUDA, op) == at::Float32Precision::TF32,
                precision == Precision::tf32);
  }
}

TEST(PrecisionScope, AParameterThatIsUpdatedInPlaceIsSeenAtTheNextForward) {
  const PrecisionScope scope(Precision::bf16, at::kCPU);
  const at::Tensor weight = at::ones({1, 1}).requires_grad_(true);
  const auto output = [&] { return at::linear(at::ones({1, 1}), weight).item<float>(); };
  EXPECT_EQ(output(), 1);
  {
    const at::NoGradGuard no_grad;
    weight.add_(1);
  }
  EXPECT_EQ(output(), 2);
}

TEST(PrecisionScope, HasAName) {
  EXPECT_EQ(precision_of("fp32"), Precision::fp32);
  EXPECT_EQ(precision_of("tf32"), Precision::tf32);
  EXPECT_EQ(precision_of("bf16"), Precision::bf16);
  EXPECT_THROW(precision_of("fp16"), Error);
}

// A product of float32 in the graph, whose backward is a product as well.
TEST(Gradients, AreComputedInTheGraphsOwnTypes) {
  const at::Tensor x = noise({8, 16}, 1, at::kFloat).requires_grad_(true);
  const at::Tensor weight = noise({4, 16}, 2, at::kFloat);
  const at::Tensor grad = noise({8, 4}, 3, at::kFloat);
  const at::Tensor y = at::linear(x, weight);
  const at::Tensor outside = gradients(y, {x}, grad, /*retain_graph=*/true).front();
  const PrecisionScope scope(Precision::bf16, at::kCPU);
  EXPECT_TRUE(at::equal(gradients(y, {x}, grad).front(), outside));
}

// Without layers the loss is all that a head computes, and this one multiplies matrices.
TEST(PrecisionScope, DoesNotReachIntoLosses) {
  const Head head({.terms = {{.loss = LossKind::contrast}}}, {16}, "", Initializer(3));
  const at::Tensor features = noise({6, 16}, 1, at::kFloat);
  const Targets targets{.y_B = labels_of(6, 4)};
  const at::Tensor outside = head.loss(features, targets, Mode::train).total;
  const PrecisionScope scope(Precision::bf16, at::kCPU);
  EXPECT_TRUE(at::equal(head.loss(features, targets, Mode::train).total, outside));
}

// Every framework's heads, also those whose losses are products and logarithms.
TEST(PrecisionScope, LossesAndGradientsOfParametersStayInFloat32) {
  for (const char* framework : {"greedy", "dgl", "predsim", "infopro", "man"}) {
    SCOPED_TRACE(framework);
    const Backbone net = backbone_of("resnet8", 16);
    const Initializer init(3);
    const std::vector<ModuleSpec> specs = modules_by({.framework = framework}, net, 3);
    const Module first(specs.front(), init);
    const at::Tensor x = noise({6, 3, 16, 16}, 1, at::kFloat).contiguous(at::MemoryFormat::ChannelsLast);
    Targets targets{.y_B = labels_of(6), .image_BCHW = at::full({6, 3, 16, 16}, 100, at::kByte)};
    std::map<std::string, Block> emas;
    EmaBlocks all;
    for (const Branch& branch : first.branches())
      for (const LeapSpec& leap : branch.spec().leaps) {
        const auto made = emas.try_emplace(
            leap.block.name, leap.block,
            TensorSet{"ema." + prefix_of(leap.block), prefix_of(leap.block), Role::shadow}, init);
        all[leap.block.name] = &made.first->second;
      }
    const auto step = [&](Precision precision) {
      const PrecisionScope scope(precision, at::kCPU);
      const Pass pass = first.forward(x, Mode::train);
      EXPECT_EQ(pass.output.scalar_type(), precision == Precision::bf16 ? at::kBFloat16 : at::kFloat);
      return first.branches().front().train(pass.features(), targets, all);
    };
    const BranchResult full = step(Precision::fp32), mixed = step(Precision::bf16);
    EXPECT_EQ(mixed.loss.scalar_type(), at::kFloat);
    EXPECT_NE(mixed.loss.item<double>(), full.loss.item<double>()) << "nothing was rounded";
    EXPECT_NEAR(mixed.loss.item<double>(), full.loss.item<double>(), 0.02 * full.loss.item<double>());
    for (const at::Tensor& grad : mixed.parameter_grads) EXPECT_EQ(grad.scalar_type(), at::kFloat);
  }
}

}  // namespace
}  // namespace lamina
