#include <gmock/gmock.h>

#include "lamina/nn/backbone.hpp"
#include "lamina/nn/block.hpp"
#include "nn/examples.hpp"

// Networks that torchvision has: their sizes as published, their tensors as its files name them.
namespace lamina {
namespace {

constexpr FeatureShape photo{3, 224, 224};

struct PublishedNet {
  const char* name;
  std::int64_t parameters;
  double giga_multiply_adds;
};
void PrintTo(const PublishedNet& net, std::ostream* out) {
  *out << net.name;
}

class Torchvision : public testing::TestWithParam<PublishedNet> {
 protected:
  const Backbone net = make_backbone({.backbone = GetParam().name}, photo, 1000);
};
INSTANTIATE_TEST_SUITE_P(Nets, Torchvision,
                         testing::Values(PublishedNet{"resnet34", 21'797'672, 3.66},
                                         PublishedNet{"resnet50", 25'557'032, 4.09},
                                         PublishedNet{"resnet101", 44'549'160, 7.80},
                                         PublishedNet{"resnet152", 60'192'808, 11.51},
                                         PublishedNet{"resnext101_32x8d", 88'791'336, 16.41},
                                         PublishedNet{"vgg13_bn", 133'053'736, 11.31},
                                         PublishedNet{"vgg19_bn", 143'678'248, 19.63}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(Torchvision, IsAsLargeAsPublished) {
  const LayerCost classifier = cost(net.classifier, net.blocks.back().out);
  std::int64_t parameters = classifier.parameters;
  double multiply_adds = static_cast<double>(classifier.multiply_adds);
  for (const BlockSpec& block : net.blocks) {
    parameters += block.parameters;
    multiply_adds += static_cast<double>(block.multiply_adds);
  }
  EXPECT_EQ(classifier.out, FeatureShape{1000});
  EXPECT_EQ(parameters, GetParam().parameters);
  EXPECT_NEAR(multiply_adds / 1e9, GetParam().giga_multiply_adds, 0.02);
}

TEST_P(Torchvision, EveryStageButAResnetsFirstHalvesAndTheLastLeavesSevenBySeven) {
  for (std::size_t i = 1; i < net.blocks.size(); ++i) EXPECT_EQ(net.blocks[i].in, net.blocks[i - 1].out);
  EXPECT_EQ(net.blocks.back().out.height, 7);
  EXPECT_EQ(net.blocks.back().out.width, 7);
}

TEST_P(Torchvision, BlocksHaveNamesOfTheirOwn) {
  std::vector<std::string> names;
  for (const BlockSpec& block : net.blocks) names.push_back(block.name);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

TEST_P(Torchvision, SmallImagesOfAnySidesPassThrough) {
  for (const FeatureShape& image :
       {FeatureShape{3, 32, 32}, FeatureShape{3, 33, 47}, FeatureShape{1, 64, 96}}) {
    const Backbone small = make_backbone({.backbone = GetParam().name}, image, 10);
    EXPECT_EQ(cost(small.classifier, small.blocks.back().out).out, FeatureShape{10});
  }
}

// The names of a network's tensors, and their sizes.
using Listing = std::vector<std::pair<std::string, std::vector<std::int64_t>>>;

void list_norm(Listing& all, const std::string& name, std::int64_t channels) {
  for (const char* tensor : {".weight", ".bias", ".running_mean", ".running_var"})
    all.push_back({name + tensor, {channels}});
  all.push_back({name + ".num_batches_tracked", {}});
}

Listing listing_of(const BlockSpec& spec) {
  Listing all;
  for (const NamedTensor& entry : Block(spec, Initializer(1)).tensors())
    all.push_back({entry.name, entry.tensor.sizes().vec()});
  return all;
}

Listing bottleneck(const std::string& name, std::int64_t in, std::int64_t inner, std::int64_t groups,
                   std::int64_t out, bool downsample) {
  Listing all{{name + ".conv1.weight", {inner, in, 1, 1}}};
  list_norm(all, name + ".bn1", inner);
  all.push_back({name + ".conv2.weight", {inner, inner / groups, 3, 3}});
  list_norm(all, name + ".bn2", inner);
  all.push_back({name + ".conv3.weight", {out, inner, 1, 1}});
  list_norm(all, name + ".bn3", out);
  if (downsample) {
    all.push_back({name + ".downsample.0.weight", {out, in, 1, 1}});
    list_norm(all, name + ".downsample.1", out);
  }
  return all;
}

TEST(ImagenetBackbone, BottlenecksAreNamedAndSizedAsTorchvisions) {
  const Backbone resnet = backbone_of("resnet50");
  const auto block = [](const Backbone& net, const BlockId& id) {
    return listing_of(net.blocks[net.index_of(id)]);
  };
  EXPECT_EQ(block(resnet, {1, 0}), bottleneck("layer1.0", 64, 64, 1, 256, true));
  EXPECT_EQ(block(resnet, {1, 1}), bottleneck("layer1.1", 256, 64, 1, 256, false));
  EXPECT_EQ(block(resnet, {3, 0}), bottleneck("layer3.0", 512, 256, 1, 1024, true));
  EXPECT_EQ(block(resnet, {4, 2}), bottleneck("layer4.2", 2048, 512, 1, 2048, false));
  const Backbone resnext = backbone_of("resnext101_32x8d");
  EXPECT_EQ(block(resnext, {1, 0}), bottleneck("layer1.0", 64, 256, 32, 256, true));
  EXPECT_EQ(block(resnext, {2, 3}), bottleneck("layer2.3", 512, 512, 32, 512, false));
}

TEST(ImagenetBackbone, TheStemQuartersTheSides) {
  const BlockSpec stem = make_backbone({.backbone = "resnet34"}, photo, 1000).blocks.front();
  Listing expected{{"conv1.weight", {64, 3, 7, 7}}};
  list_norm(expected, "bn1", 64);
  EXPECT_EQ(listing_of(stem), expected);
  EXPECT_EQ(stem.out, (FeatureShape{64, 56, 56}));
}

// Torchvision's configuration: channels, and 0 for a pool; each convolution is followed by a norm and a ReLU.
void expect_features(const char* name, const std::vector<std::int64_t>& layers) {
  Listing expected, found;
  std::int64_t in = 3, number = 0;
  for (const std::int64_t channels : layers) {
    if (channels == 0) {
      ++number;
      continue;
    }
    const std::string conv = "features." + std::to_string(number);
    expected.push_back({conv + ".weight", {channels, in, 3, 3}});
    expected.push_back({conv + ".bias", {channels}});
    list_norm(expected, "features." + std::to_string(number + 1), channels);
    number += 3;
    in = channels;
  }
  for (const BlockSpec& block : backbone_of(name).blocks)
    for (auto& entry : listing_of(block)) found.push_back(std::move(entry));
  EXPECT_EQ(found, expected);
}

TEST(ImagenetBackbone, VggsAreTorchvisionsListOfLayers) {
  expect_features("vgg13_bn", {64, 64, 0, 128, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0});
  expect_features("vgg19_bn", {64,  64,  0,   128, 128, 0,   256, 256, 256, 256, 0,
                               512, 512, 512, 512, 0,   512, 512, 512, 512, 0});
}

TEST(ImagenetBackbone, AVggsStagesLieBetweenItsPools) {
  const Backbone net = backbone_of("vgg19_bn");
  EXPECT_EQ(net.blocks.front().id, (BlockId{1, 0}));
  for (std::size_t i = 1; i < net.blocks.size(); ++i) {
    const BlockSpec &before = net.blocks[i - 1], &block = net.blocks[i];
    const bool pooled = before.out.height < before.in.height;
    EXPECT_EQ(block.id,
              pooled ? (BlockId{before.id.stage + 1, 0}) : (BlockId{before.id.stage, before.id.block + 1}));
  }
  EXPECT_EQ(net.blocks.back().id, (BlockId{5, 3}));
}

TEST(ImagenetBackbone, AVggsClassifierIsTorchvisionsWhereItsFeaturesFillIt) {
  // From the description: 120 million random numbers would say no more.
  const auto weights = [](std::int64_t side) {
    const Backbone net = make_backbone({.backbone = "vgg13_bn"}, {3, side, side}, 10);
    Listing all;
    FeatureShape shape = net.blocks.back().out;
    for (const LayerSpec& layer : net.classifier) {
      const FeatureShape out = cost(layer, shape).out;
      if (std::holds_alternative<Linear>(layer.op))
        all.push_back({layer.name, {out.channels, shape.channels}});
      shape = out;
    }
    return all;
  };
  const Listing torchvisions{
      {"classifier.0", {4096, 512 * 49}}, {"classifier.3", {4096, 4096}}, {"classifier.6", {10, 4096}}};
  EXPECT_EQ(weights(224), torchvisions);
  EXPECT_EQ(weights(300), torchvisions);
  EXPECT_EQ(weights(32), (Listing{{"classifier", {10, 512}}}));
}

// EMAs are looked up by the block's name, files by the tensors' names.
TEST(ImagenetBackbone, AVggsLeapsHaveEmasAndTensorsOfTheirOwn) {
  const Backbone net = backbone_of("vgg13_bn");
  std::vector<std::string> blocks, names;
  for (const ModuleSpec& spec : make_modules(net, {net.index_of({3, 1}), net.index_of({4, 1})},
                                             {.head = "linear", .use_mlaan = true})) {
    const Module module(spec, Initializer(1));
    for (const Module::Ema& ema : module.emas()) blocks.push_back(ema.block);
    for (const NamedTensor& entry : module.tensors()) names.push_back(entry.name);
  }
  EXPECT_THAT(blocks, testing::ElementsAre("features.21", "features.28"));
  EXPECT_THAT(names, testing::IsSupersetOf({"ema.features.21.weight", "ema.features.22.bias",
                                            "ema.features.28.weight", "lam.0.aug.0.21.weight"}));
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

// What the layers of a block compute, written out with ATen's functions.
struct Reference {
  std::map<std::string, at::Tensor> tensors;
  at::Tensor conv(const at::Tensor& x, const std::string& name, std::int64_t stride = 1,
                  std::int64_t groups = 1) const {
    const at::Tensor& weight = tensors.at(name + ".weight");
    const auto bias = tensors.find(name + ".bias");
    const std::int64_t padding = weight.size(2) / 2;
    std::vector<at::Tensor> parts;
    const auto inputs = x.chunk(groups, 1), weights = weight.chunk(groups, 0);
    for (std::int64_t g = 0; g < groups; ++g)
      parts.push_back(at::conv2d(inputs[g], weights[g], {}, {stride, stride}, {padding, padding}));
    const at::Tensor y = at::cat(parts, 1);
    return bias == tensors.end() ? y : y + bias->second.view({1, -1, 1, 1});
  }
  at::Tensor norm(const at::Tensor& x, const std::string& name) const {
    const at::Tensor centred = x - x.mean({0, 2, 3}, true);
    const auto wide = [&](const char* which) { return tensors.at(name + which).view({1, -1, 1, 1}); };
    return centred / (centred.square().mean({0, 2, 3}, true) + 1e-5).sqrt() * wide(".weight") + wide(".bias");
  }
};

struct Built {
  BlockSpec spec;
  Block block;
  Reference reference;
  at::Tensor x, y;
};
Built built(const char* name, const BlockId& id) {
  const Backbone net = backbone_of(name);
  const BlockSpec spec = net.blocks[net.index_of(id)];
  Block block(spec, doubles());
  stir(trained(block.tensors()));
  const at::Tensor x = batch_of(2, spec.in);
  const at::Tensor y = block.forward(x, Mode::train);
  return {spec, block, {by_name(block.tensors())}, x, y};
}

TEST(ImagenetBackbone, ABottleneckStridesInItsMiddleAndKeepsItsGroupsApart) {
  for (const auto& [name, groups] : {std::pair{"resnet50", 1}, std::pair{"resnext101_32x8d", 32}}) {
    const Built two = built(name, {2, 0});
    const Reference& r = two.reference;
    at::Tensor y = r.norm(r.conv(two.x, "layer2.0.conv1"), "layer2.0.bn1").relu();
    y = r.norm(r.conv(y, "layer2.0.conv2", 2, groups), "layer2.0.bn2").relu();
    y = r.norm(r.conv(y, "layer2.0.conv3"), "layer2.0.bn3");
    y = (y + r.norm(r.conv(two.x, "layer2.0.downsample.0", 2), "layer2.0.downsample.1")).relu();
    EXPECT_LT(distance(two.y, y), 1e-12) << name;
  }
}

TEST(ImagenetBackbone, StemAndVggBlocksPoolWhatTheReluLeaves) {
  const Built stem = built("resnet34", {0, 0});
  const at::Tensor wide = stem.reference.norm(stem.reference.conv(stem.x, "conv1", 2), "bn1").relu();
  EXPECT_LT(distance(stem.y, at::max_pool2d(wide, {3, 3}, {2, 2}, {1, 1})), 1e-12);

  const Built pooled = built("vgg13_bn", {2, 1});
  const at::Tensor whole =
      pooled.reference.norm(pooled.reference.conv(pooled.x, "features.10"), "features.11").relu();
  EXPECT_LT(distance(pooled.y, at::max_pool2d(whole, {2, 2}, {2, 2})), 1e-12);
}

}  // namespace
}  // namespace lamina
