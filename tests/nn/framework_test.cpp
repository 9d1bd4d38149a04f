#include "lamina/nn/framework.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <functional>
#include <set>
#include <stdexcept>

#include "lamina/core/error.hpp"
#include "nn/head_examples.hpp"

namespace lamina {
namespace {

// The kinds of layers with their sizes, e.g. "conv16x3/2+1 norm relu pool1 flat linear10".
struct Describe {
  std::string operator()(const Conv& c) const {
    return fmt::format("conv{}x{}/{}+{}", c.out_channels, c.kernel, c.stride, c.padding);
  }
  std::string operator()(const BatchNorm&) const { return "norm"; }
  std::string operator()(const Relu&) const { return "relu"; }
  std::string operator()(const Linear& l) const { return fmt::format("linear{}", l.out_features); }
  std::string operator()(const AdaptiveAvgPool& p) const { return fmt::format("pool{}", p.side); }
  std::string operator()(const AvgPool& p) const { return fmt::format("avg{}", p.kernel); }
  std::string operator()(const UpsampleBilinear& u) const { return fmt::format("up{}", u.side); }
  std::string operator()(const Sigmoid&) const { return "sigmoid"; }
  std::string operator()(const Flatten&) const { return "flat"; }
  template <class Op>
  std::string operator()(const Op&) const {
    return "other";
  }
};

std::string text(const ChainSpec& chain) {
  std::string words;
  for (const LayerSpec& layer : chain) words += (words.empty() ? "" : " ") + std::visit(Describe{}, layer.op);
  return words;
}

// The layers of a head that has one term.
std::string layers_of(const std::string& head, const FeatureShape& in) {
  return text(head_for({.framework = "greedy", .head = head}, in).terms.at(0).layers);
}

std::string thrice(const std::string& layer) {
  const std::string one = layer + " norm relu ";
  return one + one + one;
}

TEST(Framework, TheClassificationHeadsAreThere) {
  EXPECT_THAT(head_names(), testing::UnorderedElementsAre("linear", "dgl", "mlp_sr", "1c2f"));
}

TEST(Framework, AnUnknownHeadIsRefusedWithTheKnownOnes) {
  try {
    head_for({.framework = "greedy", .head = "mlp"}, {16, 32, 32});
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::config);
    for (const std::string& name : head_names()) EXPECT_THAT(error.what(), testing::HasSubstr(name));
    EXPECT_THAT(error.what(), testing::HasSubstr("\"mlp\""));
  }
}

TEST(Framework, ClassificationLayersAreThoseOfTheMethod) {
  const FeatureShape wide{16, 32, 32}, middle{32, 16, 16}, deep{64, 8, 8}, odd{16, 30, 30};
  const std::string dgl =
      "pool8 " + thrice("conv128x1/1+0") + "pool1 flat " + thrice("linear512") + "linear10";
  for (const FeatureShape& in : {wide, middle, deep}) {
    EXPECT_EQ(layers_of("linear", in), "pool1 flat linear10");
    EXPECT_EQ(layers_of("dgl", in), dgl);
  }
  EXPECT_EQ(layers_of("mlp_sr", wide),
            "pool8 " + thrice("conv16x1/1+0") + "pool2 flat " + thrice("linear64") + "linear10");
  EXPECT_EQ(layers_of("mlp_sr", deep),
            "pool2 " + thrice("conv64x1/1+0") + "pool2 flat " + thrice("linear256") + "linear10");
  EXPECT_THAT(layers_of("mlp_sr", odd), testing::StartsWith("pool8 "));  // rounded up

  const std::string rest = " norm relu pool1 flat linear128 relu linear10";
  EXPECT_EQ(layers_of("1c2f", wide), "conv32x3/2+1" + rest);
  EXPECT_EQ(layers_of("1c2f", middle), "conv64x3/2+1" + rest);
  EXPECT_EQ(layers_of("1c2f", deep), "conv64x3/1+1" + rest);
}

TEST(Framework, TheirOwnHeadsAreThoseOfTheMethod) {
  const FeatureShape in{16, 32, 32};
  EXPECT_EQ(text(head_for({.framework = "greedy"}, in).terms.at(0).layers), layers_of("linear", in));
  EXPECT_EQ(text(head_for({.framework = "dgl"}, in).terms.at(0).layers), layers_of("dgl", in));
}

const HeadTerm& term_of(const HeadSpec& head, const std::string& name) {
  for (const HeadTerm& term : head.terms)
    if (term.name == name) return term;
  throw std::out_of_range(name);
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::config);
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

TEST(Framework, AllOfThemAreThere) {
  EXPECT_THAT(framework_names(), testing::UnorderedElementsAre("greedy", "dgl", "infopro", "predsim",
                                                               "auglocal", "man", "man++", "hpff", "e2e"));
}

TEST(Framework, InfoProAndItsSiblingsHaveATaskAndADecoder) {
  for (const char* name : {"infopro", "man", "man++"}) {
    for (const FeatureShape& in : {FeatureShape{16, 32, 32}, FeatureShape{64, 8, 8}}) {
      const HeadSpec head = head_for({.framework = name}, in);
      ASSERT_EQ(head.terms.size(), 2U);
      EXPECT_EQ(text(term_of(head, "task.").layers), layers_of("1c2f", in));
      EXPECT_EQ(text(term_of(head, "decoder.").layers),
                std::string(in.height == 32 ? "" : "up32 ") + "conv12x3/1+1 norm relu conv3x3/1+1 sigmoid");
    }
  }
}

TEST(Framework, HpffHasADecoderForEveryQuarter) {
  const HeadSpec head = head_for({.framework = "hpff"}, {16, 16, 16});
  ASSERT_EQ(head.terms.size(), 5U);
  for (int q = 0; q < 4; ++q) {
    const HeadTerm& decoder = term_of(head, fmt::format("decoder.{}.", q));
    EXPECT_EQ(decoder.quadrant, q);
    EXPECT_EQ(text(decoder.layers), "up16 conv12x3/1+1 norm relu conv3x3/1+1 sigmoid");
  }
  EXPECT_THAT(error_of([] { head_for({.framework = "hpff"}, {16, 7, 7}); }),
              testing::HasSubstr("even sides"));
}

TEST(Framework, WeightsOfTaskAndDecoderChangeEvenlyFromTheFirstModuleToTheLastWithAHead) {
  for (const char* name : {"infopro", "man", "man++", "hpff"}) {
    const MethodConfig method{.framework = name,
                              .infopro = {.l1_first = 5, .l1_last = 0.2, .l2_first = 0.05, .l2_last = 0.5}};
    const auto weights = [&](std::int64_t module, std::int64_t num_modules) {
      const HeadSpec head = head_for(method, {16, 16, 16}, {module, num_modules});
      return std::pair(head.terms.back().weight, head.terms.front().weight);
    };
    EXPECT_EQ(weights(0, 8), std::pair(5.0, 0.05));
    EXPECT_EQ(weights(6, 8), std::pair(0.2, 0.5));
    EXPECT_NEAR(weights(3, 8).first, 2.6, 1e-12);
    EXPECT_NEAR(weights(3, 8).second, 0.275, 1e-12);
    EXPECT_EQ(weights(0, 2), std::pair(5.0, 0.05));
  }
}

TEST(Framework, ContrastTakesFeaturesInPlaceOfLogits) {
  const MethodConfig method{.framework = "infopro", .infopro = {.task = "contrast"}};
  const HeadTerm task = term_of(head_for(method, {16, 32, 32}), "task.");
  EXPECT_EQ(task.loss, LossKind::contrast);
  EXPECT_EQ(text(task.layers), "conv32x3/2+1 norm relu pool1 flat linear128 relu linear128");
}

TEST(Framework, AnotherClassificationHeadReplacesTheFrameworksOwn) {
  const FeatureShape in{16, 32, 32};
  for (const std::string& head : head_names()) {
    EXPECT_EQ(text(head_for({.framework = "dgl", .head = head}, in).terms.at(0).layers), layers_of(head, in));
    for (const char* name : {"infopro", "man", "man++", "hpff"})
      EXPECT_EQ(text(term_of(head_for({.framework = name, .head = head}, in), "task.").layers),
                layers_of(head, in));
    for (const std::string name : {"predsim", "auglocal"})
      EXPECT_THAT(error_of([&] { head_for({.framework = name, .head = head}, in); }),
                  testing::AllOf(testing::HasSubstr("method.head: expected auto"), testing::HasSubstr(name),
                                 testing::HasSubstr("\"" + head + "\"")));
  }
}

TEST(Framework, LargeImagesHaveLongerClassifiersAndDecoders) {
  const Standing at{.image_side = 224};
  const auto layers = [&](const std::string& name, const FeatureShape& in) {
    return text(term_of(head_for({.framework = "infopro"}, in, at), name).layers);
  };
  const std::string classifier =
      " norm relu conv256x3/2+1 norm relu conv512x3/2+1 norm relu conv2048x1/1+0 norm relu pool1 flat "
      "linear10";
  EXPECT_EQ(layers("task.", {512, 28, 28}), "conv128x1/1+0" + classifier);
  EXPECT_EQ(layers("task.", {1024, 14, 14}), "conv256x1/1+0" + classifier);
  const std::string rest = "up112 conv12x3/1+1 norm relu up224 conv3x3/1+1 sigmoid";
  EXPECT_EQ(layers("decoder.", {512, 28, 28}), "conv128x1/1+0 norm relu up56 conv32x3/1+1 norm relu " + rest);
  EXPECT_EQ(layers("decoder.", {1024, 14, 14}),
            "conv192x1/1+0 norm relu up28 conv64x1/1+0 norm relu up56 conv32x3/1+1 norm relu " + rest);
  for (const FeatureShape& in :
       {FeatureShape{64, 56, 56}, FeatureShape{256, 56, 56}, FeatureShape{2048, 8, 8}})
    for (const char* framework : {"infopro", "hpff"})
      for (const HeadTerm& term : head_for({.framework = framework}, in, at).terms) {
        const bool paints = term.loss == LossKind::reconstruction;
        EXPECT_EQ(cost(term.layers, seen_by(term, in)).out,
                  paints ? seen_by(term, {3, 224, 224}) : FeatureShape{10});
      }
}

TEST(Framework, PredSimPoolsUntilTheFeaturesAreFew) {
  const auto terms = [](const FeatureShape& in) { return head_for({.framework = "predsim"}, in).terms; };
  EXPECT_EQ(text(terms({16, 32, 32}).front().layers), "avg2 flat linear10");
  EXPECT_EQ(text(terms({32, 16, 16}).front().layers), "avg2 flat linear10");
  EXPECT_EQ(text(terms({64, 8, 8}).front().layers), "avg1 flat linear10");
  EXPECT_EQ(text(terms({256, 56, 56}).front().layers), "avg16 flat linear10");  // 8 leaves 7x7, too many
  EXPECT_EQ(text(terms({32, 16, 16}).back().layers), "conv32x3/1+1");
  EXPECT_NEAR(terms({16, 32, 32}).front().weight, 0.01, 1e-12);
  EXPECT_DOUBLE_EQ(terms({16, 32, 32}).back().weight, 0.99);
}

TEST(Framework, NamesAreUniqueAndNormsGoWithTheBackbones) {
  for (const std::string& name : framework_names())
    for (const bool mlaan : {false, true})
      for (const char* norm : {"batch", "none"}) {
        if (name == "e2e" || (mlaan && (name.starts_with("man") || name == "hpff"))) continue;
        const Backbone backbone = backbone_of("resnet20", 32, norm);
        std::set<std::string> names;
        std::size_t num_tensors = 0, num_norms = 0;
        for (const ModuleSpec& spec :
             make_modules(backbone, {2, 5, 7}, {.framework = name, .use_mlaan = mlaan}))
          for (const NamedTensor& entry : Module(spec, doubles()).tensors()) {
            ++num_tensors;
            num_norms += entry.name.ends_with("running_mean") ? 1 : 0;
            names.insert(entry.name);
          }
        EXPECT_EQ(names.size(), num_tensors) << name;
        EXPECT_EQ(num_norms > 0, backbone.normalised) << name;
      }
}

}  // namespace
}  // namespace lamina
