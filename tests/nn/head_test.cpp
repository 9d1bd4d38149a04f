#include "lamina/nn/head.hpp"

#include <gmock/gmock.h>

#include "lamina/core/error.hpp"
#include "nn/examples.hpp"
#include "nn/finite_difference.hpp"

namespace lamina {
namespace {

Head head_of(const std::string& name, const FeatureShape& in) {
  return Head(head_layers(name, in, 10), in, "", doubles());
}

TEST(Head, TheFourHeadsAreThere) {
  EXPECT_THAT(head_names(), testing::UnorderedElementsAre("linear", "dgl", "mlp_sr", "1c2f"));
}

TEST(Head, AnUnknownNameIsRefusedWithTheKnownOnes) {
  try {
    head_layers("mlp", {16, 32, 32}, 10);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::config);
    for (const std::string& name : head_names()) EXPECT_THAT(error.what(), testing::HasSubstr(name));
    EXPECT_THAT(error.what(), testing::HasSubstr("\"mlp\""));
  }
}

// The kinds of layers with their sizes, e.g. "conv16x3/2 norm relu pool1 flat linear10".
std::string layers_of(const std::string& name, const FeatureShape& in) {
  struct Describe {
    std::string operator()(const Conv& c) const {
      return fmt::format("conv{}x{}/{}+{}", c.out_channels, c.kernel, c.stride, c.padding);
    }
    std::string operator()(const BatchNorm&) const { return "norm"; }
    std::string operator()(const Relu&) const { return "relu"; }
    std::string operator()(const Linear& l) const { return fmt::format("linear{}", l.out_features); }
    std::string operator()(const AdaptiveAvgPool& p) const { return fmt::format("pool{}", p.side); }
    std::string operator()(const Flatten&) const { return "flat"; }
  };
  std::string words;
  for (const LayerSpec& layer : head_layers(name, in, 10)) words += std::visit(Describe{}, layer.op) + " ";
  return words;
}

std::string thrice(const std::string& layer) {
  const std::string one = layer + " norm relu ";
  return one + one + one;
}

TEST(Head, LayersAreThoseOfTheMethod) {
  const FeatureShape wide{16, 32, 32}, middle{32, 16, 16}, deep{64, 8, 8}, odd{16, 30, 30};
  const std::string dgl =
      "pool8 " + thrice("conv128x1/1+0") + "pool1 flat " + thrice("linear512") + "linear10 ";
  for (const FeatureShape& in : {wide, middle, deep}) {
    EXPECT_EQ(layers_of("linear", in), "pool1 flat linear10 ");
    EXPECT_EQ(layers_of("dgl", in), dgl);
  }
  EXPECT_EQ(layers_of("mlp_sr", wide),
            "pool8 " + thrice("conv16x1/1+0") + "pool2 flat " + thrice("linear64") + "linear10 ");
  EXPECT_EQ(layers_of("mlp_sr", deep),
            "pool2 " + thrice("conv64x1/1+0") + "pool2 flat " + thrice("linear256") + "linear10 ");
  EXPECT_THAT(layers_of("mlp_sr", odd), testing::StartsWith("pool8 "));  // rounded up

  const std::string rest = " norm relu pool1 flat linear128 relu linear10 ";
  EXPECT_EQ(layers_of("1c2f", wide), "conv32x3/2+1" + rest);
  EXPECT_EQ(layers_of("1c2f", middle), "conv64x3/2+1" + rest);
  EXPECT_EQ(layers_of("1c2f", deep), "conv64x3/1+1" + rest);
}

// Features of two shapes: of an early stage, with a side that no pool divides, and of the last.
class EachHead : public testing::TestWithParam<std::string> {
 protected:
  std::vector<FeatureShape> shapes() const { return {{16, 12, 12}, {64, 8, 8}}; }
};
INSTANTIATE_TEST_SUITE_P(Heads, EachHead, testing::ValuesIn(head_names()),
                         [](const auto& test) { return "head_" + test.param; });

TEST_P(EachHead, HoldsTheParametersOfItsStaticCost) {
  for (const FeatureShape& in : shapes())
    EXPECT_EQ(num_values(trained(head_of(GetParam(), in).tensors())),
              cost(head_layers(GetParam(), in, 10), in).parameters);
}

TEST_P(EachHead, GradientsAreThoseOfFiniteDifferences) {
  for (const FeatureShape& in : shapes()) {
    const Head head = head_of(GetParam(), in);
    std::vector<at::Tensor> variables = trained(head.tensors());
    stir(variables);
    const at::Tensor x = batch_of(6, in), y = labels_of(6);
    const HeadResult result = head.train(x, y);
    ASSERT_EQ(result.feature_grad.sizes(), x.sizes());
    ASSERT_EQ(result.parameter_grads.size(), variables.size());
    variables.push_back(x);
    std::vector<at::Tensor> grads = result.parameter_grads;
    grads.push_back(result.feature_grad);
    const auto value = [&] { return at::cross_entropy_loss(head.logits(x, Mode::train), y).item<double>(); };
    EXPECT_LT(difference_error(value, variables, grads), 1e-6);
  }
}

TEST_P(EachHead, LossIsTheMeanCrossEntropyOfItsLogits) {
  const Head head = head_of(GetParam(), {16, 16, 16});
  const at::Tensor x = batch_of(6, {16, 16, 16}), y = labels_of(6);
  const auto expected = [&](Mode mode) {
    const at::Tensor p = head.logits(x, mode).detach().softmax(1);
    return -p.gather(1, y.unsqueeze(1)).log().mean().item<double>();
  };
  EXPECT_NEAR(head.train(x, y).loss, expected(Mode::train), 1e-12);
  EXPECT_NEAR(head.eval(x, y).loss, expected(Mode::eval), 1e-12);
}

TEST_P(EachHead, CountsTheSamplesWhoseLargestLogitIsTheLabels) {
  const Head head = head_of(GetParam(), {16, 16, 16});
  const at::Tensor x = batch_of(6, {16, 16, 16});
  const at::Tensor guesses = head.logits(x, Mode::eval).detach().argmax(1);
  for (std::int64_t wrong = 0; wrong <= 6; ++wrong) {
    at::Tensor y = guesses.clone();
    y.slice(0, 0, wrong).add_(1).remainder_(10);
    EXPECT_EQ(head.eval(x, y).correct, 6 - wrong);
  }
}

TEST_P(EachHead, NoGradientReachesTheFeaturesButByTheResult) {
  const Head head = head_of(GetParam(), {16, 16, 16});
  const at::Tensor source = batch_of(4, {16, 16, 16}).requires_grad_(true);
  const at::Tensor features = source * 2.0;
  const at::Tensor before = features.detach().clone();
  const HeadResult result = head.train(features, labels_of(4));
  const HeadResult detached = head.train(before, labels_of(4));
  EXPECT_EQ(result.loss, detached.loss);
  EXPECT_TRUE(at::equal(result.feature_grad, detached.feature_grad));
  EXPECT_FALSE(result.feature_grad.requires_grad());
  EXPECT_TRUE(at::equal(features.detach(), before));
  EXPECT_FALSE(source.grad().defined());
  for (const at::Tensor& parameter : trained(head.tensors())) EXPECT_FALSE(parameter.grad().defined());
}

TEST_P(EachHead, EvaluationMakesNoGradientsAndChangesNothing) {
  const Head head = head_of(GetParam(), {16, 16, 16});
  head.train(batch_of(4, {16, 16, 16}), labels_of(4));
  std::vector<at::Tensor> before, after;
  for (const NamedTensor& entry : head.tensors()) before.push_back(entry.tensor.detach().clone());
  const HeadResult result = head.eval(batch_of(4, {16, 16, 16}, 2), labels_of(4));
  for (const NamedTensor& entry : head.tensors()) after.push_back(entry.tensor.detach());
  EXPECT_FALSE(result.feature_grad.defined());
  EXPECT_TRUE(result.parameter_grads.empty());
  EXPECT_TRUE(same(after, before));
}

TEST_P(EachHead, ABatchOfOneSpoilsTheRunningVarianceIfAndOnlyIfSingleValuesAreNormalised) {
  for (const FeatureShape& in : {FeatureShape{16, 16, 16}, FeatureShape{64, 8, 8}, FeatureShape{16, 2, 2}}) {
    const Head head = head_of(GetParam(), in);
    head.logits(batch_of(1, in), Mode::train);
    bool spoiled = false;
    for (const NamedTensor& entry : head.tensors())
      spoiled = spoiled || !entry.tensor.isfinite().all().item<bool>();
    EXPECT_EQ(normalises_single_values(head_layers(GetParam(), in, 10), in), spoiled)
        << in.channels << "x" << in.height << "x" << in.width;
  }
}

TEST(Head, SomeHeadsNormaliseSingleValues) {
  const auto normalises = [](const std::string& head, const FeatureShape& in) {
    return normalises_single_values(head_layers(head, in, 10), in);
  };
  EXPECT_FALSE(normalises("linear", {16, 32, 32}));
  EXPECT_TRUE(normalises("dgl", {16, 32, 32}));
  EXPECT_TRUE(normalises("mlp_sr", {16, 32, 32}));
  EXPECT_FALSE(normalises("1c2f", {16, 32, 32}));
  EXPECT_TRUE(normalises("1c2f", {16, 2, 2}));  // its convolution leaves one place
}

}  // namespace
}  // namespace lamina
