#include "lamina/nn/module.hpp"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <set>

#include "lamina/nn/framework.hpp"
#include "nn/examples.hpp"
#include "nn/finite_difference.hpp"

namespace lamina {
namespace {

const FeatureShape image{3, 16, 16};

std::vector<Module> three_modules(const std::string& head,
                                  at::MemoryFormat format = at::MemoryFormat::ChannelsLast) {
  return build(modules_of(backbone_of("resnet8", 16), 3, head), doubles(format));
}

Module whole_network() {
  return Module(modules_of(backbone_of("resnet8", 16), 1).front(), doubles());
}

TEST(MakeModules, EveryBlockIsInOneModuleAndTheLastHasTheClassifier) {
  const Backbone net = backbone_of("resnet32");
  const std::vector<ModuleSpec> modules = modules_of(net, 8, "1c2f");
  ASSERT_EQ(modules.size(), 8u);
  std::int64_t next = 0;
  for (std::int64_t i = 0; i < 8; ++i) {
    EXPECT_EQ(modules[i].index, i);
    EXPECT_EQ(modules[i].first_block, next);
    next = modules[i].last_block + 1;
    ASSERT_EQ(static_cast<std::int64_t>(modules[i].blocks.size()), next - modules[i].first_block);
    for (std::int64_t b = 0; b < next - modules[i].first_block; ++b)
      EXPECT_EQ(modules[i].blocks[b].id, net.blocks[modules[i].first_block + b].id);
    ASSERT_EQ(modules[i].branches.size(), 1u);
    const BranchSpec& branch = modules[i].branches.front();
    EXPECT_EQ(branch.name, i < 7 ? "independent" : "classifier");
    EXPECT_EQ(branch.head.name, i < 7 ? "1c2f" : "classifier");
    EXPECT_EQ(branch.head_prefix(), i < 7 ? "head." + std::to_string(i) + ".independent." : "");
    EXPECT_EQ(modules[i].in, i > 0 ? modules[i - 1].out : net.blocks.front().in);
  }
  EXPECT_EQ(next, static_cast<std::int64_t>(net.blocks.size()));
}

TEST(MakeModules, AFrameworkBringsItsOwnHeadUnlessOneIsNamed) {
  const Backbone net = backbone_of("resnet8");
  const auto head = [&](const MethodConfig& method) {
    return make_modules(net, {1}, method).front().branches.front().head.name;
  };
  EXPECT_EQ(head({.framework = "dgl"}), "dgl");
  EXPECT_EQ(head({.framework = "greedy"}), "linear");
  EXPECT_EQ(head({.framework = "dgl", .head = "mlp_sr"}), "mlp_sr");
  EXPECT_EQ(head({.framework = "greedy", .head = "1c2f"}), "1c2f");
}

TEST(MakeModules, CostsAddUpToThoseOfTheNetwork) {
  const Backbone net = backbone_of("resnet20");
  const ModuleSpec whole = modules_of(net, 1).front();
  for (const std::int64_t modules : {2, 5, 9}) {
    std::int64_t parameters = 0, multiply_adds = 0;
    for (const ModuleSpec& module : modules_of(net, modules, "dgl")) {
      parameters += module.parameters() - module.branches.front().parameters();
      multiply_adds += module.multiply_adds();
    }
    EXPECT_EQ(parameters, whole.parameters() - 650);  // the classifier's
    EXPECT_EQ(multiply_adds, whole.multiply_adds());
  }
  EXPECT_EQ(whole.branch_multiply_adds(), 640);
}

TEST(Module, NamesAreUniqueOverTheNetwork) {
  std::set<std::string> names;
  for (const Module& module : three_modules("dgl"))
    for (const NamedTensor& entry : module.tensors())
      EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
  EXPECT_TRUE(names.contains("head.0.independent.conv1.weight"));
  EXPECT_TRUE(names.contains("fc.weight"));
}

TEST(Module, ParametersAreThoseAmongItsTensorsInTheirOrder) {
  for (const Module& module : three_modules("1c2f")) {
    std::vector<at::Tensor> parameters = module.block_parameters();
    for (const Branch& branch : module.branches())
      parameters.insert(parameters.end(), branch.parameters().begin(), branch.parameters().end());
    for (const std::vector<at::Tensor>& expected : {trained(module.tensors()), module.parameters()}) {
      ASSERT_EQ(parameters.size(), expected.size());
      for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(parameters[i].is_same(expected[i]));
    }
  }
}

TEST(Module, PullsToItsParametersTheGradientOfFiniteDifferences) {
  at::Tensor x = batch_of(4, image);
  for (const Module& module : three_modules("linear")) {
    stir(module.block_parameters());
    const at::Tensor w = batch_of(4, module.spec().out, 2) / 100.0;
    const auto value = [&] { return (module.forward(x, Mode::train).output * w).sum().item<double>(); };
    const std::vector<at::Tensor> grads = module.pull_to_parameters(module.forward(x, Mode::train), w);
    EXPECT_LT(difference_error(value, module.block_parameters(), grads), 1e-6) << module.spec().index;
    x = module.forward(x, Mode::train).features();
  }
}

TEST(Module, NoGraphReachesBeyondItsInput) {
  const std::vector<Module> modules = three_modules("linear");
  const Pass first = modules[0].forward(batch_of(4, image), Mode::train);
  const Pass second = modules[1].forward(first.output, Mode::train);  // with its graph
  EXPECT_TRUE(first.output.requires_grad());
  EXPECT_FALSE(second.input.requires_grad());
  EXPECT_FALSE(first.features().requires_grad());
  const std::vector<at::Tensor> to_first = torch::autograd::grad(
      {second.output.sum()}, modules[0].block_parameters(), {}, std::nullopt, false, /*allow_unused=*/true);
  for (const at::Tensor& grad : to_first) EXPECT_FALSE(grad.defined());
}

// Perturbing a head changes gradients of its own module and of no other.
class GradientIsolation : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Heads, GradientIsolation, testing::ValuesIn(head_names()),
                         [](const auto& test) { return "head_" + test.param; });

TEST_P(GradientIsolation, AHeadTouchesItsOwnModuleOnly) {
  const at::Tensor x = batch_of(6, image), y = labels_of(6);
  const std::vector<ModuleGradients> before = local_gradients(three_modules(GetParam()), x, y);
  for (std::size_t perturbed = 0; perturbed < 3; ++perturbed) {
    const std::vector<Module> modules = three_modules(GetParam());
    stir(modules[perturbed].branches().front().parameters());
    const std::vector<ModuleGradients> after = local_gradients(modules, x, y);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(same(after[i].blocks, before[i].blocks), i != perturbed) << i << ", perturbed " << perturbed;
      EXPECT_EQ(same(after[i].head, before[i].head), i != perturbed) << i << ", perturbed " << perturbed;
    }
    EXPECT_GT(distance(after[perturbed].blocks, before[perturbed].blocks), 1e-3);
  }
}

TEST(Module, OneModuleHasTheGradientsOfOrdinaryTraining) {
  const at::Tensor x = batch_of(6, image), y = labels_of(6);
  const Module module = whole_network();
  const ModuleGradients local = local_gradients({module}, x, y).front();

  // The same numbers in blocks and a head of their own, composed to one function and one graph.
  const ModuleSpec& spec = module.spec();
  std::vector<at::Tensor> of_blocks;
  at::Tensor features = x;
  for (const BlockSpec& block_spec : spec.blocks) {
    const Block block(block_spec, doubles());
    for (const at::Tensor& parameter : trained(block.tensors())) of_blocks.push_back(parameter);
    features = block.forward(features, Mode::train);
  }
  const BranchSpec& classifier = spec.branches.front();
  const Head head(classifier.head, spec.out, classifier.head_prefix(), doubles());
  const at::Tensor loss = at::cross_entropy_loss(head.logits(features, Mode::train), y);
  const std::vector<at::Tensor> of_head = trained(head.tensors());
  EXPECT_LT(distance(local.blocks, torch::autograd::grad({loss}, of_blocks, {}, /*retain_graph=*/true)),
            1e-12);
  EXPECT_LT(distance(local.head, torch::autograd::grad({loss}, of_head)), 1e-12);
}

TEST(Module, AStepUpdatesEveryRunningStatisticOnce) {
  for (const std::string& head : head_names()) {
    const std::vector<Module> modules = three_modules(head);
    for (std::int64_t step = 1; step <= 2; ++step) {
      local_gradients(modules, batch_of(4, image), labels_of(4));
      for (const Module& module : modules)
        for (const NamedTensor& entry : module.tensors())
          if (entry.name.ends_with("num_batches_tracked")) {
            EXPECT_EQ(entry.tensor.item<std::int64_t>(), step) << entry.name << ", head " << head;
          }
    }
  }
}

TEST(Module, RunningStatisticsAreOneTenthOfTheFirstBatchs) {
  const Module module = three_modules("linear").front();
  const at::Tensor x = batch_of(4, image);
  local_gradients({module}, x, labels_of(4));
  const auto tensors = by_name(module.tensors());
  const at::Tensor y = at::conv2d(x, tensors.at("conv1.weight"), {}, 1, 1).detach();
  const std::vector<std::int64_t> over{0, 2, 3};
  EXPECT_LT(distance(tensors.at("bn1.running_mean"), 0.1 * y.mean(over)), 1e-12);
  EXPECT_LT(distance(tensors.at("bn1.running_var"), 0.9 + 0.1 * y.var(over, true)), 1e-12);
}

TEST(Module, EvaluationChangesNothingAndKeepsNoGraph) {
  const Module module = whole_network();
  local_gradients({module}, batch_of(4, image), labels_of(4));
  std::vector<at::Tensor> before, after;
  for (const NamedTensor& entry : module.tensors()) before.push_back(entry.tensor.detach().clone());
  const Pass pass = module.forward(batch_of(4, image, 2), Mode::eval);
  module.classifier().eval(pass.features(), {.y_B = labels_of(4)});
  for (const NamedTensor& entry : module.tensors()) after.push_back(entry.tensor.detach());
  EXPECT_TRUE(same(after, before));
  EXPECT_FALSE(pass.output.requires_grad());
}

TEST(Module, OnlyInEvaluationIsASampleIndependentOfTheOthers) {
  const Module module = whole_network();
  local_gradients({module}, batch_of(8, image, 3), labels_of(8));
  const at::Tensor x = batch_of(4, image);
  const auto logits = [&](const at::Tensor& batch, Mode mode) {
    return module.classifier().head().logits(module.forward(batch, mode).features(), mode).detach();
  };
  EXPECT_LT(distance(logits(x.slice(0, 2, 3), Mode::eval), logits(x, Mode::eval).slice(0, 2, 3)), 1e-12);
  EXPECT_GT(distance(logits(x.slice(0, 2, 3), Mode::train), logits(x, Mode::train).slice(0, 2, 3)), 1e-3);
}

TEST(Module, TheMemoryFormatDoesNotMatter) {
  const at::MemoryFormat last = at::MemoryFormat::ChannelsLast, first = at::MemoryFormat::Contiguous;
  const at::Tensor x = batch_of(4, image), y = labels_of(4);
  EXPECT_TRUE(
      three_modules("1c2f").front().forward(x.contiguous(last), Mode::train).output.is_contiguous(last));
  for (const std::string& head : head_names()) {
    const auto expected = local_gradients(three_modules(head, first), x, y);
    const auto found = local_gradients(three_modules(head, last), x.contiguous(last), y);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_LT(distance(found[i].blocks, expected[i].blocks), 1e-12) << head << " of module " << i;
      EXPECT_LT(distance(found[i].head, expected[i].head), 1e-12) << head << " of module " << i;
    }
  }
}

}  // namespace
}  // namespace lamina
