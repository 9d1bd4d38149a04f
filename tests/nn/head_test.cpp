#include "lamina/nn/head.hpp"

#include <gmock/gmock.h>

#include "lamina/core/error.hpp"
#include "nn/finite_difference.hpp"
#include "nn/head_examples.hpp"

namespace lamina {
namespace {

struct HeadCell {
  std::string name;
  MethodConfig method;
};

std::vector<HeadCell> cells() {
  std::vector<HeadCell> all;
  for (const std::string& head : head_names())
    all.push_back({"head_" + head, {.framework = "greedy", .head = head}});
  for (const char* name : {"infopro", "hpff", "predsim", "auglocal"})
    all.push_back({name, {.framework = name}});
  all.push_back({"contrast", {.framework = "infopro", .infopro = {.task = "contrast"}}});
  all.push_back({"auglocal_of_one_block", {.framework = "auglocal", .auglocal_depth = 1}});
  return all;
}

// Every kind of head, for features of two shapes: of an early stage, and of the last.
class EachHead : public testing::TestWithParam<HeadCell> {
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
    EXPECT_FALSE(one.loss(x, targets, Mode::eval).correct.defined());
    return;
  }
  const at::Tensor guesses = one.logits(x, Mode::eval).detach().argmax(1);
  for (std::int64_t wrong = 0; wrong <= 6; ++wrong) {
    targets.y_B = guesses.clone();
    targets.y_B.slice(0, 0, wrong).add_(1).remainder_(10);
    EXPECT_EQ(one.loss(x, targets, Mode::eval).correct.item<std::int64_t>(), 6 - wrong);
  }
}

TEST_P(EachHead, LossIsTheWeightedSumOfItsTermsLosses) {
  const at::Tensor x = batch_of(6, early);
  const Targets targets = targets_of(6);
  double expected = 0;
  for (const HeadTerm& term : spec(early).terms) {
    HeadSpec alone{.terms = {term}};
    alone.terms.front().weight = 1;
    expected +=
        term.weight * Head(alone, early, "", doubles()).loss(x, targets, Mode::train).total.item<double>();
  }
  EXPECT_NEAR(head(early).loss(x, targets, Mode::train).total.item<double>(), expected, 1e-10);
}

TEST_P(EachHead, ABatchOfOneCanBeLearnedFromUnlessSingleValuesAreNormalised) {
  if (normalises_single_values(spec(early), early)) return;
  const HeadGradients found = gradients(head(early), batch_of(1, early), targets_of(1));
  EXPECT_TRUE(found.features.isfinite().all().item<bool>());
  for (const at::Tensor& grad : found.parameters) EXPECT_TRUE(grad.isfinite().all().item<bool>());
}

TEST_P(EachHead, TheMemoryFormatChangesNothing) {
  const at::Tensor x = batch_of(6, early);
  const auto of = [&](at::MemoryFormat format) {
    const Head one(spec(early), early, "", doubles(format));
    const HeadGradients found = gradients(one, x.contiguous(format), targets_of(6));
    std::vector<at::Tensor> all = found.parameters;
    all.push_back(found.features);
    return all;
  };
  EXPECT_LT(distance(of(at::MemoryFormat::ChannelsLast), of(at::MemoryFormat::Contiguous)), 1e-10);
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

std::vector<std::string> names_of(const MethodConfig& method, const FeatureShape& in) {
  std::vector<std::string> names;
  for (const NamedTensor& entry : Head(head_for(method, in), in, "head.0.", doubles()).tensors())
    if (entry.trained) names.push_back(entry.name);
  return names;
}

std::vector<std::string> with(const std::string& prefix, std::vector<std::string> names) {
  for (std::string& name : names) name.insert(0, prefix);
  return names;
}

TEST(Head, NamesSayWhatATensorIsFor) {
  const FeatureShape in{16, 16, 16};
  const auto joined = [](std::vector<std::string> all, const std::vector<std::string>& more) {
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const std::vector<std::string> decoder{"conv1.weight", "bn1.weight", "bn1.bias", "conv2.weight"};
  const std::vector<std::string> task =
      with("head.0.task.",
           {"conv1.weight", "bn1.weight", "bn1.bias", "fc1.weight", "fc1.bias", "fc.weight", "fc.bias"});
  for (const char* name : {"infopro", "man", "man++"})
    EXPECT_EQ(names_of({.framework = name}, in), joined(task, with("head.0.decoder.", decoder)));
  std::vector<std::string> quarters = task;
  for (const char* q : {"0", "1", "2", "3"})
    quarters = joined(quarters, with(std::string("head.0.decoder.") + q + ".", decoder));
  EXPECT_EQ(names_of({.framework = "hpff"}, in), quarters);
  EXPECT_EQ(names_of({.framework = "predsim"}, in),
            with("head.0.", {"predict.fc.weight", "predict.fc.bias", "similarity.conv.weight"}));
  const std::vector<std::string> block{"conv1.weight", "bn1.weight", "bn1.bias",
                                       "conv2.weight", "bn2.weight", "bn2.bias"};
  const std::vector<std::string> shortcut{"downsample.0.weight", "downsample.1.weight", "downsample.1.bias"};
  EXPECT_EQ(names_of({.framework = "auglocal", .auglocal_depth = 2}, in),
            joined(joined(with("head.0.block.0.", joined(block, shortcut)),
                          with("head.0.block.1.", joined(block, shortcut))),
                   with("head.0.", {"fc.weight", "fc.bias"})));
  EXPECT_EQ(names_of({.framework = "auglocal", .auglocal_depth = 1}, in),
            joined(with("head.0.block.0.", joined(block, shortcut)),
                   with("head.0.", {"bn.weight", "bn.bias", "fc.weight", "fc.bias"})));
}

TEST(Head, OnlyDecodersNeedTheImage) {
  const FeatureShape in{16, 16, 16};
  for (const HeadCell& cell : cells()) {
    const Head head(head_for(cell.method, in), in, "", doubles());
    const Targets blind{.y_B = labels_of(4)};
    if (!head_for(cell.method, in).needs_image()) {
      EXPECT_NO_THROW(head.loss(batch_of(4, in), blind, Mode::train)) << cell.name;
      continue;
    }
    for (const at::Tensor& image : {at::Tensor(), batch_of(4, {3, 16, 16})}) try {
        head.loss(batch_of(4, in), {.y_B = labels_of(4), .image_BCHW = image}, Mode::train);
        ADD_FAILURE() << cell.name;
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::contract);
        EXPECT_THAT(error.what(), testing::HasSubstr("image"));
      }
  }
}

TEST(Head, ThePredictionOfSimilarityMatchingBeginsBlind) {
  const FeatureShape in{16, 16, 16};
  const Head head(head_for({.framework = "predsim"}, in), in, "", doubles());
  const auto tensors = by_name(head.tensors());
  EXPECT_EQ(tensors.at("predict.fc.weight").count_nonzero().item<std::int64_t>(), 0);
  EXPECT_EQ(tensors.at("predict.fc.bias").count_nonzero().item<std::int64_t>(), 10);
  const at::Tensor logits = head.logits(batch_of(3, in), Mode::eval);
  EXPECT_TRUE(at::equal(logits, tensors.at("predict.fc.bias").expand({3, 10})));
}

TEST(Head, AShadowOfABlindPredictionIsFilledLater) {
  const FeatureShape in{16, 16, 16};
  const Head shadow(head_for({.framework = "predsim"}, in), in, TensorSet{"", "", Role::shadow},
                    doubles().blank());
  for (const NamedTensor& entry : shadow.tensors()) {
    EXPECT_FALSE(entry.tensor.requires_grad());
    EXPECT_TRUE(entry.tensor.isnan().all().item<bool>()) << entry.name;
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
