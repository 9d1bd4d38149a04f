#include "lamina/nn/head.hpp"

#include <gmock/gmock.h>

#include "nn/finite_difference.hpp"
#include "nn/head_examples.hpp"

namespace lamina {
namespace {

struct Cell {
  std::string name;
  MethodConfig method;
};

std::vector<Cell> cells() {
  std::vector<Cell> all;
  for (const std::string& head : head_names())
    all.push_back({"head_" + head, {.framework = "greedy", .head = head}});
  return all;
}

// Every kind of head, for features of two shapes: of an early stage, and of the last.
class EachHead : public testing::TestWithParam<Cell> {
 protected:
  static constexpr FeatureShape early{16, 12, 12};
  static constexpr FeatureShape late{64, 8, 8};

  static HeadSpec spec(const FeatureShape& in) { return head_for(GetParam().method, in); }
  static Head head(const FeatureShape& in) { return Head(spec(in), in, "", doubles()); }
};
INSTANTIATE_TEST_SUITE_P(Heads, EachHead, testing::ValuesIn(cells()),
                         [](const auto& test) { return test.param.name; });

TEST_P(EachHead, HoldsTheParametersOfItsStaticCost) {
  for (const FeatureShape& in : {early, late})
    EXPECT_EQ(num_values(trained(head(in).tensors())), cost(spec(in), in).parameters);
}

TEST_P(EachHead, GradientsAreThoseOfFiniteDifferences) {
  for (const FeatureShape& in : {early, late}) {
    const Head one = head(in);
    std::vector<at::Tensor> variables = trained(one.tensors());
    stir(variables);
    const at::Tensor x = batch_of(6, in);
    const Targets targets = targets_of(6);
    const HeadGradients found = gradients(one, x, targets);
    ASSERT_EQ(found.features.sizes(), x.sizes());
    variables.push_back(x);
    std::vector<at::Tensor> grads = found.parameters;
    grads.push_back(found.features);
    const auto value = [&] { return one.loss(x, targets, Mode::train).total.item<double>(); };
    EXPECT_LT(difference_error(value, variables, grads), 1e-6);
  }
}

TEST_P(EachHead, CountsTheSamplesWhoseLargestLogitIsTheLabelsIfItClassifies) {
  const Head one = head(early);
  const HeadSpec described = spec(early);
  const bool classifies =
      std::any_of(described.terms.begin(), described.terms.end(),
                  [](const HeadTerm& term) { return term.loss == LossKind::cross_entropy; });
  const at::Tensor x = batch_of(6, early);
  Targets targets = targets_of(6);
  if (!classifies) {
    EXPECT_EQ(one.loss(x, targets, Mode::eval).correct, -1);
    return;
  }
  const at::Tensor guesses = one.logits(x, Mode::eval).detach().argmax(1);
  for (std::int64_t wrong = 0; wrong <= 6; ++wrong) {
    targets.y_B = guesses.clone();
    targets.y_B.slice(0, 0, wrong).add_(1).remainder_(10);
    EXPECT_EQ(one.loss(x, targets, Mode::eval).correct, 6 - wrong);
  }
}

TEST_P(EachHead, LeavesTheFeaturesAsTheyWere) {
  const at::Tensor x = batch_of(4, early);
  const at::Tensor before = x.clone();
  gradients(head(early), x, targets_of(4));
  EXPECT_TRUE(at::equal(x, before));
}

TEST_P(EachHead, EvaluationChangesNothing) {
  const Head one = head(early);
  one.loss(batch_of(4, early), targets_of(4), Mode::train);
  std::vector<at::Tensor> before, after;
  for (const NamedTensor& entry : one.tensors()) before.push_back(entry.tensor.detach().clone());
  one.loss(batch_of(4, early, 2), targets_of(4), Mode::eval);
  for (const NamedTensor& entry : one.tensors()) after.push_back(entry.tensor.detach());
  EXPECT_TRUE(same(after, before));
}

TEST_P(EachHead, ABatchOfOneSpoilsTheRunningVarianceIfAndOnlyIfSingleValuesAreNormalised) {
  for (const FeatureShape& in : {early, late, FeatureShape{16, 2, 2}}) {
    const Head one = head(in);
    one.loss(batch_of(1, in), targets_of(1), Mode::train);
    bool spoiled = false;
    for (const NamedTensor& entry : one.tensors())
      spoiled = spoiled || !entry.tensor.isfinite().all().item<bool>();
    EXPECT_EQ(normalises_single_values(spec(in), in), spoiled)
        << in.channels << "x" << in.height << "x" << in.width;
  }
}

TEST(Head, SomeHeadsNormaliseSingleValues) {
  const auto normalises = [](const std::string& head, const FeatureShape& in) {
    return normalises_single_values(head_for({.framework = "greedy", .head = head}, in), in);
  };
  EXPECT_FALSE(normalises("linear", {16, 32, 32}));
  EXPECT_TRUE(normalises("dgl", {16, 32, 32}));
  EXPECT_TRUE(normalises("mlp_sr", {16, 32, 32}));
  EXPECT_FALSE(normalises("1c2f", {16, 32, 32}));
  EXPECT_TRUE(normalises("1c2f", {16, 2, 2}));  // its convolution leaves one place
}

}  // namespace
}  // namespace lamina
