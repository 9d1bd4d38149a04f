#include "lamina/nn/initializer.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "lamina/core/error.hpp"
#include "nn/examples.hpp"

namespace lamina {
namespace {

TEST(Initializer, AValueDependsOnSeedAndNameOnly) {
  const Initializer init(11);
  const at::Tensor first = init.conv_weight("layer1.0.conv1.weight", 16, 16, 3);
  init.conv_weight("layer1.0.conv2.weight", 16, 16, 3);  // no stream that others draw from
  EXPECT_TRUE(at::equal(init.conv_weight("layer1.0.conv1.weight", 16, 16, 3), first));
  EXPECT_TRUE(at::equal(Initializer(11).conv_weight("layer1.0.conv1.weight", 16, 16, 3), first));
  EXPECT_FALSE(at::equal(init.conv_weight("layer1.0.conv2.weight", 16, 16, 3), first));
  EXPECT_FALSE(at::equal(Initializer(12).conv_weight("layer1.0.conv1.weight", 16, 16, 3), first));
}

TEST(Initializer, TheGlobalGeneratorPlaysNoPart) {
  at::manual_seed(1);
  const at::Tensor first = Initializer(11).linear_weight("fc.weight", 10, 64);
  at::manual_seed(2);
  EXPECT_TRUE(at::equal(Initializer(11).linear_weight("fc.weight", 10, 64), first));
}

TEST(Initializer, ANetworkStartsTheSameHoweverItIsCut) {
  const Backbone net = backbone_of("resnet14");
  const auto whole = by_name(Module(modules_of(net, 1).front(), Initializer(3)).tensors());
  for (const std::int64_t modules : {2, 6})
    for (const Module& module : build(modules_of(net, modules), Initializer(3)))
      for (const NamedTensor& entry : module.tensors())
        if (!entry.name.starts_with("head.")) {
          ASSERT_TRUE(whole.contains(entry.name)) << entry.name;
          EXPECT_TRUE(at::equal(whole.at(entry.name), entry.tensor)) << entry.name;
        }
}

TEST(Initializer, ConvolutionsAreNormalWithTheDeviationOfTheirFanOut) {
  for (const std::int64_t kernel : {1, 3}) {
    const at::Tensor weight = Initializer(5, at::kDouble).conv_weight("w", 128, 64, kernel).detach();
    const double deviation = std::sqrt(2.0 / static_cast<double>(kernel * kernel * 128));
    const double n = static_cast<double>(weight.numel());
    EXPECT_LT(std::abs(weight.mean().item<double>()), 5 * deviation / std::sqrt(n));
    EXPECT_NEAR(weight.std().item<double>() / deviation, 1.0, 5 / std::sqrt(2 * n));
    const double fourth_moment = (weight / deviation).pow(4).mean().item<double>();  // 3 if normal
    EXPECT_NEAR(fourth_moment, 3.0, 5 * std::sqrt(96 / n));
  }
}

TEST(Initializer, LinearLayersAreUniformWithinTheReciprocalRootOfTheirFanIn) {
  const Initializer init(5, at::kDouble);
  const double bound = 1.0 / std::sqrt(400.0);
  for (const at::Tensor& values :
       {init.linear_weight("w", 100, 400).detach(), init.linear_bias("b", 4000, 400).detach()}) {
    const double n = static_cast<double>(values.numel());
    EXPECT_LE(values.abs().max().item<double>(), bound);
    EXPECT_GT(values.max().item<double>(), 0.99 * bound);
    EXPECT_LT(values.min().item<double>(), -0.99 * bound);
    EXPECT_LT(std::abs(values.mean().item<double>()), 5 * bound / std::sqrt(3 * n));
    EXPECT_NEAR(values.std().item<double>(), bound / std::sqrt(3.0), 0.02 * bound);
  }
}

TEST(Initializer, DoublesAreTheValuesOfFloats) {
  const ModuleSpec spec = modules_of(backbone_of("resnet8"), 3, "dgl").front();
  const auto floats = by_name(Module(spec, Initializer(9, at::kFloat)).tensors());
  for (const NamedTensor& entry : Module(spec, Initializer(9, at::kDouble)).tensors()) {
    EXPECT_TRUE(at::equal(entry.tensor, floats.at(entry.name).to(entry.tensor.scalar_type()))) << entry.name;
    EXPECT_EQ(entry.tensor.scalar_type(), entry.name.ends_with("tracked") ? at::kLong : at::kDouble)
        << entry.name;
  }
}

TEST(Initializer, TheMemoryFormatChangesNoValue) {
  const at::Tensor last = Initializer(1).conv_weight("w", 8, 4, 3);
  const at::Tensor first = Initializer(1, at::kFloat, at::MemoryFormat::Contiguous).conv_weight("w", 8, 4, 3);
  EXPECT_TRUE(at::equal(last, first));
  EXPECT_TRUE(last.is_contiguous(at::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(first.is_contiguous());
}

TEST(Initializer, NormsStartAsTheIdentity) {
  const Initializer init(1);
  EXPECT_TRUE(at::equal(init.constant("bn.weight", 4, 1.0), at::ones({4})));
  EXPECT_TRUE(init.constant("bn.weight", 4, 1.0).requires_grad());
  EXPECT_TRUE(at::equal(init.buffer("bn.running_mean", 4, 0.0), at::zeros({4})));
  EXPECT_FALSE(init.buffer("bn.running_mean", 4, 0.0).requires_grad());
  EXPECT_TRUE(at::equal(init.counter("bn.num_batches_tracked"), at::zeros({}, at::kLong)));
}

TEST(Initializer, ACopyBeginsAsTheTensorThatItIsLike) {
  const Initializer init(11);
  const TensorName copy("lam.0.aug.1.conv1.weight", "layer3.0.conv1.weight");
  const at::Tensor live = init.conv_weight("layer3.0.conv1.weight", 8, 4, 3);
  EXPECT_TRUE(at::equal(init.conv_weight(copy, 8, 4, 3), live));
  EXPECT_FALSE(init.conv_weight(copy, 8, 4, 3).is_alias_of(live));
  EXPECT_FALSE(at::equal(init.conv_weight(copy.own, 8, 4, 3), live));
}

TEST(Initializer, AGivenTensorOfTheOwnNameComesFirstThenOneOfTheNameItIsLike) {
  const TensorName copy("ema.a", "a");
  const at::Tensor of_own = at::full({3}, 5.0f), of_like = at::full({3}, 6.0f);
  const auto value = [&](const GivenTensors& given, const TensorName& name) {
    const Initializer init(1, at::kFloat, at::MemoryFormat::ChannelsLast,
                           std::make_shared<const GivenTensors>(given));
    return init.constant(name, 3, 7.0).detach();
  };
  EXPECT_TRUE(at::equal(value({{"ema.a", of_own}, {"a", of_like}}, copy), of_own));
  EXPECT_TRUE(at::equal(value({{"a", of_like}}, copy), of_like));
  EXPECT_TRUE(at::equal(value({{"b", of_like}}, copy), at::full({3}, 7.0f)));
  EXPECT_TRUE(at::equal(value({{"ema.a", of_own}}, "a"), at::full({3}, 7.0f)));
}

TEST(Initializer, AGivenTensorIsCopiedAndServesBuffersToo) {
  const at::Tensor mean = at::full({3}, 5.0f);
  const Initializer init(1, at::kFloat, at::MemoryFormat::ChannelsLast,
                         std::make_shared<const GivenTensors>(GivenTensors{{"mean", mean}}));
  const at::Tensor made = init.buffer("mean", 3, 0.0);
  EXPECT_TRUE(at::equal(made, mean));
  EXPECT_FALSE(made.is_alias_of(mean));
  EXPECT_FALSE(init.constant("mean", 3, 0.0).is_alias_of(mean));
}

TEST(Initializer, AGivenTensorOfAnotherShapeOrTypeIsRefusedByItsName) {
  const at::Tensor wrong[] = {at::ones({4}), at::ones({3}, at::kDouble)};
  for (const at::Tensor& given : wrong) {
    const Initializer init(1, at::kFloat, at::MemoryFormat::ChannelsLast,
                           std::make_shared<const GivenTensors>(GivenTensors{{"bn1.bias", given}}));
    try {
      init.constant("bn1.bias", 3, 0.0);
      ADD_FAILURE() << "it was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::checkpoint);
      EXPECT_NE(std::string(error.what()).find("bn1.bias"), std::string::npos) << error.what();
    }
  }
}

TEST(Initializer, FrozenTensorsHaveTheValuesBlankOnesNoneAndNeitherHasGradientsOrCounts) {
  const Initializer init(1);
  const at::Tensor trained = init.conv_weight("w", 8, 4, 3);
  const std::int64_t before = num_parameters_made();
  const at::Tensor frozen = init.frozen().conv_weight("w", 8, 4, 3);
  const at::Tensor blank = init.blank().conv_weight("w", 8, 4, 3);
  EXPECT_TRUE(at::equal(frozen, trained));
  EXPECT_TRUE(blank.isnan().all().item<bool>());
  EXPECT_TRUE(init.blank().frozen().conv_weight("w", 8, 4, 3).isnan().all().item<bool>());
  for (const at::Tensor& copy : {frozen, blank}) {
    EXPECT_FALSE(copy.requires_grad());
    EXPECT_EQ(copy.strides(), trained.strides());
  }
  EXPECT_EQ(num_parameters_made(), before);
}

TEST(Initializer, CountsTheParametersThatItMakes) {
  for (const ModuleSpec& spec : modules_of(backbone_of("resnet20"), 4, "mlp_sr")) {
    const std::int64_t before = num_parameters_made();
    const Module module(spec, Initializer(1));
    EXPECT_EQ(num_parameters_made() - before, spec.parameters());
  }
}

}  // namespace
}  // namespace lamina
