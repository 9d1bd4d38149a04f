#include "nn/auglocal_head.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <numeric>

#include "lamina/core/error.hpp"
#include "nn/head_examples.hpp"

namespace lamina {
namespace {

struct Where {
  std::int64_t block = 0;
  std::int64_t module = 0;
  std::int64_t num_modules = 4;
};

HeadTerm term_for(const Backbone& backbone, std::int64_t depth, const Where& at, double taper = 0.5) {
  return auglocal_term({.framework = "auglocal", .auglocal_depth = depth, .auglocal_taper = taper},
                       {.backbone = backbone,
                        .module = at.module,
                        .num_modules = at.num_modules,
                        .block = at.block,
                        .in = backbone.blocks[at.block].out});
}

// Width and side behind every block.
std::string shapes(const HeadTerm& term) {
  std::string all;
  for (const BlockSpec& block : term.blocks)
    all += fmt::format("{}{}@{}", all.empty() ? "" : " ", block.out.channels, block.out.height);
  return all;
}

TEST(AugLocalHead, WidthsAreThoseOfLayersSpreadEvenlyOverTheRest) {
  const Backbone resnet32 = backbone_of("resnet32");
  // 0 + 15/4*i: layers 4, 8 (from 7.5), 11, 15.
  EXPECT_EQ(shapes(term_for(resnet32, 4, {.block = 0})), "16@32 32@16 64@8 64@8");
  EXPECT_EQ(shapes(term_for(resnet32, 2, {.block = 7})), "64@8 64@8");  // layers 11, 15
  EXPECT_EQ(shapes(term_for(resnet32, 3, {.block = 15})), "64@8 64@8 64@8");

  // 4 + 5/2*i in a ResNet-20: 6.5 is layer 6, the last of width 32, since halves go to the even one.
  EXPECT_EQ(shapes(term_for(backbone_of("resnet20"), 2, {.block = 4})), "32@16 64@8");
}

TEST(AugLocalHead, OneStrideSufficesWhereAStageIsSkipped) {
  const HeadTerm term = term_for(backbone_of("resnet32"), 1, {.block = 0});
  EXPECT_EQ(shapes(term), "64@16");
}

TEST(AugLocalHead, BlocksFollowOnOneAnotherAndShortcutsStandWhereTheWidthChanges) {
  for (std::int64_t block = 0; block < 9; ++block)
    for (std::int64_t depth = 1; depth <= 6; ++depth) {
      const HeadTerm term = term_for(backbone_of("resnet20"), depth, {.block = block});
      FeatureShape shape = backbone_of("resnet20").blocks[block].out;
      for (const BlockSpec& one : term.blocks) {
        EXPECT_EQ(one.in, shape);
        EXPECT_TRUE(one.residual);
        EXPECT_EQ(one.shortcut.empty(), one.in.channels == one.out.channels);
        EXPECT_EQ(one.out.height, one.out.channels > one.in.channels ? shape.height / 2 : shape.height);
        shape = one.out;
      }
    }
}

TEST(AugLocalHead, ChainsGetShorterTowardsTheLastModuleAndTheShortestHaveANorm) {
  const Backbone backbone = backbone_of("resnet32");
  const auto lengths = [&](std::int64_t depth, double taper, std::int64_t num_modules) {
    std::vector<std::size_t> all;
    for (std::int64_t module = 0; module < num_modules - 1; ++module) {
      const HeadTerm term =
          term_for(backbone, depth, {.block = module, .module = module, .num_modules = num_modules}, taper);
      bool norm = false;
      for (const LayerSpec& layer : term.layers) norm = norm || std::holds_alternative<BatchNorm>(layer.op);
      EXPECT_EQ(norm, term.blocks.size() <= 1);
      all.push_back(term.blocks.size());
    }
    return all;
  };
  EXPECT_EQ(lengths(9, 0.5, 6), (std::vector<std::size_t>{9, 8, 7, 6, 5}));
  EXPECT_EQ(lengths(4, 0.5, 3), (std::vector<std::size_t>{4, 2}));  // 2.5 goes to the even one
  EXPECT_EQ(lengths(4, 1, 5), (std::vector<std::size_t>{4, 3, 2, 1}));
  EXPECT_EQ(lengths(4, 0, 4), (std::vector<std::size_t>{4, 4, 4}));
  EXPECT_EQ(lengths(4, 0.5, 2), (std::vector<std::size_t>{4}));
  EXPECT_EQ(lengths(1, 0.5, 4), (std::vector<std::size_t>{1, 1, 1}));
}

// A backbone of a stem and blocks that a shape is enough to tell of.
Backbone made_of(const ChainSpec& body, bool residual, const std::vector<FeatureShape>& shapes) {
  Backbone backbone{.name = "net", .num_classes = 10};
  for (const FeatureShape& shape : shapes) {
    BlockSpec block{.id = {1, 0}, .name = "block", .body = body, .residual = residual, .out = shape};
    for (LayerSpec& layer : block.body)
      if (Conv* conv = std::get_if<Conv>(&layer.op)) conv->out_channels *= shape.channels;
    backbone.blocks.push_back(block);
  }
  return backbone;
}

std::string layers(const ChainSpec& chain) {
  std::string all;
  for (const LayerSpec& layer : chain)
    if (const Conv* conv = std::get_if<Conv>(&layer.op))
      all += fmt::format("{}:{}x{}/{} ", layer.name, conv->out_channels, conv->kernel, conv->stride);
    else
      all += layer.name + " ";
  return all;
}

TEST(AugLocalHead, BottlenecksHaveTheirStrideAtTheLargeConvolution) {
  const ChainSpec bottleneck{{Conv{1, 1}, "conv1"},       {BatchNorm{}, "bn1"}, {Relu{}},
                             {Conv{1, 3, 1, 1}, "conv2"}, {BatchNorm{}, "bn2"}, {Relu{}},
                             {Conv{1, 1}, "conv3"},       {BatchNorm{}, "bn3"}};
  const Backbone backbone = made_of(bottleneck, true, {{16, 8, 8}, {16, 8, 8}, {32, 4, 4}});
  const HeadTerm term = term_for(backbone, 1, {.block = 0});
  EXPECT_EQ(layers(term.blocks.at(0).body), "conv1:32x1/1 bn1  conv2:32x3/2 bn2  conv3:32x1/1 bn3 ");
  EXPECT_EQ(layers(term.blocks.at(0).shortcut), "downsample.0:32x1/2 downsample.1 ");
  EXPECT_EQ(shapes(term), "32@4");
}

TEST(AugLocalHead, PlainBlocksLeaveTheirPoolsOutAndAreNamedLikeTheOthers) {
  const ChainSpec plain{{Conv{1, 3, 1, 1}, "7"}, {BatchNorm{}, "8"}, {Relu{}}, {AdaptiveAvgPool{2}}};
  const Backbone backbone = made_of(plain, false, {{16, 8, 8}, {16, 8, 8}, {32, 4, 4}});
  const HeadTerm term = term_for(backbone, 1, {.block = 0});
  EXPECT_EQ(layers(term.blocks.at(0).body), "conv1:32x3/2 bn1  ");
  EXPECT_TRUE(term.blocks.at(0).shortcut.empty());
  EXPECT_FALSE(term.blocks.at(0).residual);
}

TEST(AugLocalHead, TheFinalModuleHasOneLayerMoreThanTheDepth) {
  const Backbone backbone = backbone_of("resnet32");
  for (const std::int64_t depth : {1, 4, 14}) {
    const std::vector<std::int64_t> ends = auglocal_ends(backbone, depth);
    std::vector<std::int64_t> expected(16 - depth - 1);
    std::iota(expected.begin(), expected.end(), 0);
    EXPECT_EQ(ends, expected);
    const std::vector<ModuleSpec> modules =
        make_modules(backbone, ends, {.framework = "auglocal", .auglocal_depth = depth});
    EXPECT_EQ(modules.back().blocks.size(), static_cast<std::size_t>(depth) + 1);
    EXPECT_EQ(modules.size(), static_cast<std::size_t>(16 - depth));
  }
}

TEST(AugLocalHead, ADepthThatLeavesNoLocalModuleIsRefused) {
  try {
    auglocal_ends(backbone_of("resnet32"), 15);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::config);
    EXPECT_THAT(error.what(), testing::HasSubstr("method.auglocal_depth: expected at most 14"));
    EXPECT_THAT(error.what(), testing::HasSubstr("found 15"));
  }
}

TEST(AugLocalHead, BehindALamItStandsWhereTheLamEnds) {
  const Backbone backbone = backbone_of("resnet20");
  const std::vector<ModuleSpec> modules =
      make_modules(backbone, {0, 3, 6}, {.framework = "auglocal", .use_mlaan = true, .auglocal_depth = 3});
  const BranchSpec& independent = modules[0].branches[0];
  const BranchSpec& cascaded = modules[0].branches[1];
  EXPECT_EQ(shapes(independent.head.terms.front()), "16@32 32@16 64@8");
  EXPECT_EQ(shapes(cascaded.head.terms.front()), "64@8 64@8 64@8");
}

}  // namespace
}  // namespace lamina
