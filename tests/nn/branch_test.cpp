#include "lamina/nn/branch.hpp"

#include <gtest/gtest.h>

#include "nn/finite_difference.hpp"
#include "nn/head_examples.hpp"

namespace lamina {
namespace {

constexpr std::int64_t samples = 4;
constexpr std::size_t place =
    1;  // of the module that is looked at: it leaps to three blocks, over two changes of shape

// A ResNet-14 in six modules, off its first values, where copies and EMAs would all be the same.
struct Network {
  explicit Network(const MethodConfig& method, std::int64_t side = 16)
      : modules(build(modules_by(method, backbone_of("resnet14", side), 6), doubles())),
        emas(emas_of(modules)) {
    std::uint64_t seed = 1000;
    for (const Module& module : modules) {
      stir(module.parameters(), seed += 1000);
      for (const Module::Ema& ema : module.emas()) stir(values_of(ema.copy.tensors()), seed += 1000);
    }
  }

  const Branch& branch(const std::string& name) const {
    for (const Branch& branch : modules.at(place).branches())
      if (branch.spec().name == name) return branch;
    throw std::out_of_range(name);
  }

  std::vector<Module> modules;
  EmaBlocks emas;
};

at::Tensor features_for(const Branch& branch) {
  return batch_of(samples, branch.spec().in, 3);
}

// Another branch with the very values of this one.
Branch copy_of(const Branch& branch, const BranchSpec& spec, Role role) {
  Branch copy(spec, role, doubles());
  const auto from = by_name(branch.tensors());
  for (const NamedTensor& entry : copy.tensors()) entry.tensor.detach().copy_(from.at(entry.name));
  return copy;
}

// docs/method.md, Leaps, on blocks of its own, which hold the values of the branch and of the EMAs.
struct Lam {
  Lam(const Branch& branch, const EmaBlocks& emas) : spec(branch.spec()) {
    const auto from = by_name(branch.tensors());
    for (std::size_t j = 0; j < spec.leaps.size(); ++j) {
      const BlockSpec& block = spec.leaps[j].block;
      augs.emplace_back(block,
                        TensorSet("lam." + std::to_string(spec.module) + ".aug." + std::to_string(j) + "."),
                        doubles());
      for (const NamedTensor& entry : augs.back().tensors()) entry.tensor.detach().copy_(from.at(entry.name));
      if (spec.leaps[j].with_ema) ema_blocks.push_back(emas.at(block.name));
    }
    for (const Block& aug : augs)
      for (const at::Tensor& parameter : trained(aug.tensors())) parameters.push_back(parameter);
    if (!spec.scaled) return;
    scale = from.at("lam." + std::to_string(spec.module) + ".scale").detach().clone().requires_grad_(true);
    parameters.push_back(scale);
  }

  at::Tensor operator()(const at::Tensor& h, bool through_ema = true) const {
    at::Tensor z = h;
    for (std::size_t j = 0; j < augs.size(); ++j) {
      const at::Tensor in = z;
      z = augs[j].forward(in, Mode::train);
      if (j >= ema_blocks.size()) continue;
      at::Tensor ema = ema_blocks[j]->forward(in, Mode::train);
      if (!through_ema) ema = ema.detach();
      z = spec.scaled ? scale * z + (2 - scale) * ema : z + ema;
    }
    return z;
  }

  BranchSpec spec;
  std::vector<Block> augs;
  std::vector<const Block*> ema_blocks;
  at::Tensor scale;
  std::vector<at::Tensor> parameters;
};

struct Cell {
  std::string name;
  MethodConfig method;
  std::string branch;
};

// The forms that a LAM may have.
std::vector<Cell> lams() {
  return {{"First", mlaan_on("greedy"), "cascaded"},
          {"All", mlaan_on("greedy", {.ema_depth = "all"}), "cascaded"},
          {"Scaled", mlaan_on("greedy", {.scale = true}), "cascaded"},
          {"AllScaled", mlaan_on("greedy", {.ema_depth = "all", .scale = true}), "cascaded"},
          {"Independent", mlaan_on("greedy", {.lam_on = "independent"}), "independent"},
          {"OfManPlusPlus", {.framework = "man++"}, "independent"}};
}

class EachLam : public testing::TestWithParam<Cell> {};
INSTANTIATE_TEST_SUITE_P(Forms, EachLam, testing::ValuesIn(lams()),
                         [](const auto& test) { return test.param.name; });

TEST_P(EachLam, ComputesItsFormulaAndItsGradients) {
  const Network net(GetParam().method);
  const Branch& branch = net.branch(GetParam().branch);
  const Lam lam(branch, net.emas);
  const Targets targets = targets_of(samples, 16);
  const at::Tensor h = features_for(branch).requires_grad_(true);

  const at::Tensor loss = branch.head().loss(lam(h), targets, Mode::train).total;
  std::vector<at::Tensor> inputs = lam.parameters;
  const std::vector<at::Tensor> of_head = trained(branch.head().tensors());
  inputs.insert(inputs.end(), of_head.begin(), of_head.end());
  inputs.push_back(h);
  std::vector<at::Tensor> expected = torch::autograd::grad({loss}, inputs);
  const at::Tensor to_features = expected.back();
  expected.pop_back();

  const BranchResult found = branch.train(h, targets, net.emas);
  const double weight = branch.spec().own_weight + branch.spec().window_weight;
  EXPECT_NEAR(found.loss.item<double>(), loss.item<double>(), 1e-12);
  EXPECT_LT(distance(found.own_grad.defined() ? found.own_grad : found.window_grad, weight * to_features),
            1e-12);
  for (at::Tensor& grad : expected) grad = weight * grad;
  ASSERT_EQ(found.parameter_grads.size(), branch.parameters().size());
  EXPECT_LT(distance(found.parameter_grads, expected), 1e-12);
}

TEST_P(EachLam, GradientsAreThoseOfFiniteDifferences) {
  const Network net(GetParam().method, 8);
  const Branch& branch = net.branch(GetParam().branch);
  const Targets targets = targets_of(samples, 8);
  const at::Tensor h = features_for(branch);
  const BranchResult found = branch.train(h, targets, net.emas);
  const double weight = branch.spec().own_weight + branch.spec().window_weight;
  std::vector<at::Tensor> variables = branch.parameters(), grads = found.parameter_grads;
  variables.push_back(h);
  grads.push_back(found.own_grad.defined() ? found.own_grad : found.window_grad);
  const auto value = [&] { return weight * branch.train(h, targets, net.emas).loss.item<double>(); };
  EXPECT_LT(difference_error(value, variables, grads), 1e-6);
}

TEST_P(EachLam, TheGradientReachesTheFeaturesThroughTheEmaAndStopsAtItsParameters) {
  const Network net(GetParam().method);
  const Branch& branch = net.branch(GetParam().branch);
  const Lam lam(branch, net.emas);
  const Targets targets = targets_of(samples, 16);
  const at::Tensor h = features_for(branch).requires_grad_(true);
  const at::Tensor cut_off = branch.head().loss(lam(h, /*through_ema=*/false), targets, Mode::train).total;
  const double weight = branch.spec().own_weight + branch.spec().window_weight;
  const at::Tensor aug_alone = weight * torch::autograd::grad({cut_off}, {h}).front();
  const BranchResult found = branch.train(h, targets, net.emas);
  EXPECT_GT(distance(found.own_grad.defined() ? found.own_grad : found.window_grad, aug_alone), 1e-2);
  ASSERT_FALSE(net.emas.empty());
  for (const auto& [block, ema] : net.emas)
    for (const NamedTensor& entry : ema->tensors()) EXPECT_FALSE(entry.tensor.requires_grad()) << entry.name;
}

TEST_P(EachLam, EmasTakePartWithoutBeingChanged) {
  const Network net(GetParam().method);
  const auto all = [&] {
    std::vector<at::Tensor> values;
    for (const auto& [block, ema] : net.emas)
      for (const at::Tensor& value : values_of(ema->tensors())) values.push_back(value.clone());
    return values;
  };
  const std::vector<at::Tensor> before = all();
  const Branch& branch = net.branch(GetParam().branch);
  branch.train(features_for(branch), targets_of(samples, 16), net.emas);
  EXPECT_TRUE(same(all(), before));
  for (const auto& [block, ema] : net.emas)
    for (const NamedTensor& entry : ema->tensors())
      EXPECT_TRUE(entry.name.ends_with("weight") || entry.name.ends_with("bias")) << entry.name;
}

// A batch norm is everywhere: in the copies, and in the head.
TEST(Branch, OneLossIsSplitByItsWeights) {
  const Network net(mlaan_on("dgl", {.lam_on = "independent"}));
  for (const char* name : {"independent", "cascaded"}) {
    const Branch& branch = net.branch(name);
    const at::Tensor x = features_for(branch);
    const Targets targets = targets_of(samples, 16);
    const auto with = [&](double own, double window) {
      BranchSpec spec = branch.spec();
      spec.own_weight = own;
      spec.window_weight = window;
      return copy_of(branch, spec, Role::trained).train(x, targets, net.emas);
    };
    const BranchResult one = with(1, 0);
    for (const auto& [own, window] : {std::pair{0.25, 0.0}, {0.0, 0.75}, {0.25, 0.75}, {0.001, 0.999}}) {
      const BranchResult split = with(own, window);
      EXPECT_TRUE(at::equal(split.loss, one.loss)) << "the loss itself bears no weight";
      EXPECT_TRUE(at::equal(split.correct, one.correct));
      ASSERT_EQ(split.own_grad.defined(), own > 0);
      ASSERT_EQ(split.window_grad.defined(), window > 0);
      if (own > 0) {
        EXPECT_LT(distance(split.own_grad, own * one.own_grad), 1e-12);
      }
      if (window > 0) {
        EXPECT_LT(distance(split.window_grad, window * one.own_grad), 1e-12);
      }
      std::vector<at::Tensor> expected;
      for (const at::Tensor& grad : one.parameter_grads) expected.push_back((own + window) * grad);
      EXPECT_LT(distance(split.parameter_grads, expected), 1e-12);
    }
  }
}

TEST(Branch, AShadowGivesTheGradientOfTheWindowAlone) {
  const Network net(mlaan_on("dgl", {.scale = true}));
  const Branch& branch = net.branch("cascaded");
  for (const double own_weight : {0.0, 0.25}) {
    BranchSpec spec = branch.spec();
    spec.own_weight = own_weight;
    const Branch owner = copy_of(branch, spec, Role::trained);
    const Branch shadow = copy_of(branch, spec, Role::shadow);
    const at::Tensor x = features_for(branch);
    const BranchResult expected = owner.train(x, targets_of(samples, 16), net.emas);
    const BranchResult found = shadow.train(x, targets_of(samples, 16), net.emas);
    EXPECT_LT(distance(found.window_grad, expected.window_grad), 1e-12);
    EXPECT_FALSE(found.own_grad.defined());
    EXPECT_TRUE(found.parameter_grads.empty());
    EXPECT_TRUE(shadow.parameters().empty());
    EXPECT_TRUE(same(values_of(shadow.tensors()), owner.parameters())) << "copies of these, in this order";
    for (const NamedTensor& entry : shadow.tensors())
      EXPECT_FALSE(entry.tensor.requires_grad()) << entry.name;
  }
}

TEST(Branch, NoGraphLeavesIt) {
  const Network net(mlaan_on("dgl"));
  const Branch& branch = net.branch("cascaded");
  const at::Tensor before = features_for(branch).requires_grad_(true);
  const BranchResult found = branch.train(before * 2, targets_of(samples, 16), net.emas);
  EXPECT_FALSE(found.window_grad.requires_grad());
  for (const at::Tensor& grad : found.parameter_grads) EXPECT_FALSE(grad.requires_grad());
  EXPECT_FALSE(before.grad().defined());
}

TEST(Branch, UpdatesItsRunningStatisticsOnce) {
  const Network net(mlaan_on("dgl"));
  const Branch& branch = net.branch("cascaded");
  std::size_t found = 0;
  for (std::int64_t step = 1; step <= 2; ++step) {
    branch.train(features_for(branch), targets_of(samples, 16), net.emas);
    for (const NamedTensor& entry : branch.tensors())
      if (entry.name.ends_with("num_batches_tracked")) {
        EXPECT_EQ(entry.tensor.item<std::int64_t>(), step) << entry.name;
        found += entry.name.starts_with("lam.") ? 1 : 0;
      }
  }
  EXPECT_GE(found, 2u * 8u) << "three copies with two or three norms";
}

TEST(Branch, NamesSayOfWhichModuleAndWhatForItIs) {
  const Network net(mlaan_on("greedy", {.scale = true}));
  const auto tensors = by_name(net.branch("cascaded").tensors());
  EXPECT_TRUE(tensors.contains("lam.1.aug.0.conv1.weight"));
  EXPECT_TRUE(tensors.contains("lam.1.aug.2.bn2.running_var"));
  EXPECT_TRUE(tensors.contains("lam.1.scale"));
  EXPECT_TRUE(tensors.contains("head.1.cascaded.fc.weight"));
  EXPECT_TRUE(by_name(net.branch("independent").tensors()).contains("head.1.independent.fc.weight"));
}

TEST(Branch, HoldsTheParametersOfItsStaticCost) {
  for (const Cell& cell : lams()) {
    const Network net(cell.method);
    for (const Module& module : net.modules)
      for (const Branch& branch : module.branches())
        EXPECT_EQ(num_values(branch.parameters()), branch.spec().parameters()) << cell.name;
  }
}

}  // namespace
}  // namespace lamina
