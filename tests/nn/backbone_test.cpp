#include "lamina/nn/backbone.hpp"

#include <gmock/gmock.h>

#include "lamina/core/error.hpp"
#include "lamina/nn/block.hpp"
#include "lamina/nn/framework.hpp"
#include "lamina/nn/module.hpp"
#include "nn/examples.hpp"

namespace lamina {
namespace {

using testing::HasSubstr;

struct Published {
  const char* name;
  std::int64_t parameters;
  double conv_mega_multiply_adds;
};
void PrintTo(const Published& net, std::ostream* out) {
  *out << net.name;
}

class PublishedBackbone : public testing::TestWithParam<Published> {};
INSTANTIATE_TEST_SUITE_P(Nets, PublishedBackbone,
                         testing::Values(Published{"resnet32", 466'906, 69.1},
                                         Published{"resnet110", 1'730'714, 253.1}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(PublishedBackbone, HasThePublishedNumberOfParameters) {
  const Backbone net = backbone_of(GetParam().name);
  std::int64_t parameters = cost(net.classifier, net.blocks.back().out).parameters;
  for (const BlockSpec& block : net.blocks) parameters += block.parameters;
  EXPECT_EQ(parameters, GetParam().parameters);
}

TEST_P(PublishedBackbone, MakesAsManyNumbersAsItsStaticCostsSay) {
  const Module whole(modules_of(backbone_of(GetParam().name), 1).front(), Initializer(1));
  EXPECT_EQ(num_values(trained(whole.tensors())), GetParam().parameters);
  EXPECT_EQ(whole.spec().parameters(), GetParam().parameters);
}

TEST_P(PublishedBackbone, ConvolutionsNeedThePublishedMultiplyAdds) {
  double multiply_adds = 0;
  for (const BlockSpec& block : backbone_of(GetParam().name).blocks)
    multiply_adds += static_cast<double>(block.multiply_adds);
  EXPECT_NEAR(multiply_adds / 1e6, GetParam().conv_mega_multiply_adds, 0.05);
}

TEST(Backbone, LargerImagesCostInProportionToTheirArea) {
  const Backbone small = backbone_of("resnet20", 32);
  const Backbone large = backbone_of("resnet20", 96);
  for (std::size_t i = 0; i < small.blocks.size(); ++i) {
    EXPECT_EQ(large.blocks[i].multiply_adds, 9 * small.blocks[i].multiply_adds);
    EXPECT_EQ(large.blocks[i].parameters, small.blocks[i].parameters);
  }
}

TEST(Backbone, StagesAreAsWideAndAsSmallAsDescribed) {
  for (const std::int64_t side : {32, 96}) {
    const Backbone net = backbone_of("resnet32", side);
    ASSERT_EQ(net.blocks.size(), 16u);
    for (const BlockSpec& block : net.blocks) {
      const std::int64_t halvings = std::max<std::int64_t>(block.id.stage - 1, 0);
      const FeatureShape expected{16 << halvings, side >> halvings, side >> halvings};
      EXPECT_EQ(block.out, expected) << text(block.id);
      EXPECT_EQ(block.shortcut.empty(), block.id.block != 0 || block.id.stage < 2) << text(block.id);
    }
  }
}

TEST(Backbone, EachBlockTakesWhatTheOneBeforeItGives) {
  const Backbone net = backbone_of("resnet44");
  for (std::size_t i = 1; i < net.blocks.size(); ++i) EXPECT_EQ(net.blocks[i].in, net.blocks[i - 1].out);
}

TEST(Backbone, BlocksComputeTheShapesThatTheySay) {
  const Backbone net = backbone_of("resnet14", 20);
  for (const BlockSpec& spec : net.blocks) {
    const at::Tensor y = Block(spec, doubles()).forward(batch_of(2, spec.in), Mode::train);
    const std::vector<std::int64_t> expected{2, spec.out.channels, spec.out.height, spec.out.width};
    EXPECT_EQ(y.sizes(), at::IntArrayRef(expected)) << text(spec.id);
  }
}

TEST(Backbone, TensorsBearTorchvisionsNamesInTorchvisionsOrder) {
  std::vector<std::string> expected;
  const auto norm = [&](const std::string& name) {
    for (const char* tensor : {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"})
      expected.push_back(name + "." + tensor);
  };
  const auto conv_and_norm = [&](const std::string& conv, const std::string& bn) {
    expected.push_back(conv + ".weight");
    norm(bn);
  };
  conv_and_norm("conv1", "bn1");
  for (const std::string block : {"layer1.0", "layer1.1", "layer2.0", "layer2.1", "layer3.0", "layer3.1"}) {
    conv_and_norm(block + ".conv1", block + ".bn1");
    conv_and_norm(block + ".conv2", block + ".bn2");
    if (block == "layer2.0" || block == "layer3.0")
      conv_and_norm(block + ".downsample.0", block + ".downsample.1");
  }
  expected.push_back("fc.weight");
  expected.push_back("fc.bias");

  std::vector<std::string> names;
  for (const NamedTensor& entry :
       Module(modules_of(backbone_of("resnet14"), 1).front(), Initializer(1)).tensors())
    names.push_back(entry.name);
  EXPECT_EQ(names, expected);
}

TEST(Backbone, TensorsHaveTorchvisionsShapes) {
  const auto tensors =
      by_name(Module(modules_of(backbone_of("resnet32"), 1).front(), Initializer(1)).tensors());
  const auto sizes = [&](const char* name) { return tensors.at(name).sizes().vec(); };
  using Sizes = std::vector<std::int64_t>;
  EXPECT_EQ(sizes("conv1.weight"), (Sizes{16, 3, 3, 3}));
  EXPECT_EQ(sizes("bn1.running_mean"), (Sizes{16}));
  EXPECT_EQ(sizes("bn1.num_batches_tracked"), (Sizes{}));
  EXPECT_EQ(sizes("layer2.0.conv1.weight"), (Sizes{32, 16, 3, 3}));
  EXPECT_EQ(sizes("layer2.0.downsample.0.weight"), (Sizes{32, 16, 1, 1}));
  EXPECT_EQ(sizes("layer3.4.bn2.running_var"), (Sizes{64}));
  EXPECT_EQ(sizes("fc.weight"), (Sizes{10, 64}));
  EXPECT_EQ(sizes("fc.bias"), (Sizes{10}));
}

TEST(Backbone, BlocksAreFoundByTheirStageAndNumber) {
  const Backbone net = backbone_of("resnet32");
  EXPECT_EQ(net.index_of({0, 0}), 0);
  EXPECT_EQ(net.index_of({1, 0}), 1);
  EXPECT_EQ(net.index_of({3, 4}), 15);
  for (const BlockId& id : {BlockId{0, 1}, BlockId{1, 5}, BlockId{4, 0}, BlockId{-1, 0}}) try {
      net.index_of(id);
      ADD_FAILURE() << text(id);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::config);
      EXPECT_THAT(error.what(), HasSubstr(text(id)));
      EXPECT_THAT(error.what(), HasSubstr("[3,4]"));
    }
}

TEST(Backbone, NamesThatAreNoNetworkAreRefused) {
  for (const char* name : {"", "resnet", "resnet33", "resnet2", "resnet-32", "resnet032", "resnet32x",
                           "resnet 32", "cifar-resnet101", "cifar-vgg13_bn", "vgg13", "32"})
    try {
      backbone_of(name);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::config);
      EXPECT_THAT(error.what(), HasSubstr("model.backbone"));
      EXPECT_THAT(error.what(), HasSubstr("\"" + std::string(name) + "\""));
    }
}

TEST(Backbone, AMisspeltNameIsAnsweredWithTheOneThatIsMeant) {
  for (const auto& [misspelt, meant] :
       {std::pair{"resnet032", "resnet32"}, std::pair{"resnext101_32x4d", "resnext101_32x8d"},
        std::pair{"vgg19-bn", "vgg19_bn"}, std::pair{"cifar_resnet32", "cifar-resnet32"}})
    try {
      backbone_of(misspelt);
      ADD_FAILURE() << misspelt;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(std::string("did you mean \"") + meant + "\"?"));
    }
}

TEST(Backbone, TorchvisionsNamesMeanItsNetworksAndOthersAreCifars) {
  const auto stages = [](const char* name) { return backbone_of(name).blocks.back().id.stage; };
  for (const char* name : {"resnet34", "resnet50", "resnet101", "resnet152"})
    EXPECT_EQ(stages(name), 4) << name;
  for (const char* name : {"resnet20", "resnet44", "cifar-resnet50", "cifar-resnet152"})
    EXPECT_EQ(stages(name), 3) << name;
  EXPECT_EQ(backbone_of("cifar-resnet50").blocks.size(), 1u + 3 * 8);
}

TEST(Backbone, ANetworkWithTwoNamesIsKnownByOne) {
  EXPECT_EQ(backbone_of("cifar-resnet32").name, "resnet32");
  EXPECT_EQ(backbone_of("resnet32").name, "resnet32");
  EXPECT_EQ(backbone_of("cifar-resnet50").name, "cifar-resnet50");
  EXPECT_EQ(backbone_of("resnet50").name, "resnet50");
}

TEST(Backbone, NormNoneLeavesNoBatchNormAnywhere) {
  const Backbone net = backbone_of("resnet14", 32, "none");
  for (const std::string& head : head_names())
    for (const ModuleSpec& spec : modules_of(net, 4, head)) {
      const Module module(spec, doubles());
      for (const NamedTensor& entry : module.tensors()) EXPECT_TRUE(entry.trained) << entry.name;
      EXPECT_EQ(num_values(trained(module.tensors())), spec.parameters()) << head;
      for (const BranchSpec& branch : spec.branches)
        EXPECT_FALSE(normalises_single_values(branch.head, branch.head_in())) << head;
    }
  EXPECT_LT(net.blocks[1].parameters, backbone_of("resnet14").blocks[1].parameters);
}

}  // namespace
}  // namespace lamina
