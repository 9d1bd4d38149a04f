#include "lamina/nn/framework.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

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
  std::string operator()(const Flatten&) const { return "flat"; }
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

}  // namespace
}  // namespace lamina
