#include <gtest/gtest.h>

#include "nn/head_examples.hpp"

// What a stage computes with of a module that a later stage owns.
namespace lamina {
namespace {

constexpr std::int64_t shadow_samples = 4;

void fill(const ShadowModule& shadow, const Module& owner) {
  const std::vector<at::Tensor> from = window_part(owner);
  const std::vector<at::Tensor> to = shadow.tensors();
  ASSERT_EQ(to.size(), from.size());
  for (std::size_t i = 0; i < to.size(); ++i) {
    ASSERT_EQ(to[i].sizes(), from[i].sizes()) << i;
    to[i].copy_(from[i].detach());
  }
}

TEST(ShadowModule, HoldsNothingUntilItIsFilledAndTrainsNothing) {
  for (const ModuleSpec& spec : modules_by(mlaan_on("dgl"), backbone_of("resnet14", 16), 6)) {
    const std::int64_t before = num_parameters_made();
    for (const at::Tensor& tensor : ShadowModule(spec, doubles()).tensors()) {
      EXPECT_TRUE(tensor.isnan().all().item<bool>());
      EXPECT_FALSE(tensor.requires_grad());
    }
    EXPECT_EQ(num_parameters_made(), before);
  }
}

TEST(ShadowModule, FilledItGivesTheOwnersActivationAndTheGradientsOfItsWindow) {
  for (const MlaanConfig& mlaan : {MlaanConfig{}, MlaanConfig{.ema_depth = "all", .scale = true}}) {
    const std::vector<Module> modules =
        build(modules_by(mlaan_on("dgl", mlaan), backbone_of("resnet14", 16), 6), doubles());
    const EmaBlocks emas = emas_of(modules);
    const Targets targets = targets_of(shadow_samples, 16);
    for (const Module& owner : modules) {
      stir(owner.parameters());
      const ShadowModule shadow(owner.spec(), doubles());
      fill(shadow, owner);
      const at::Tensor x = batch_of(shadow_samples, owner.spec().in);
      const Pass pass = owner.forward(x, Mode::train, /*to_input=*/true);
      const Pass copied = shadow.forward(x);
      EXPECT_TRUE(at::equal(copied.features(), pass.features()));
      const at::Tensor expected = owner.branches().back().train(pass.features(), targets, emas).window_grad;
      const at::Tensor found = shadow.window_grad(copied.features(), targets, emas);
      EXPECT_LT(distance(found, expected), 1e-12);
      EXPECT_LT(distance(pull_to_input(copied, found), pull_to_input(pass, expected)), 1e-12);
    }
  }
}

TEST(ShadowModule, WithoutAWindowThereIsNoGradient) {
  const ModuleSpec spec = modules_of(backbone_of("resnet14", 16), 6)[2];
  const Module owner(spec, doubles());
  const ShadowModule shadow(spec, doubles());
  fill(shadow, owner);
  EXPECT_EQ(shadow.tensors().size(), owner.block_parameters().size()) << "the branch is not its business";
  EXPECT_FALSE(
      shadow.window_grad(batch_of(shadow_samples, spec.out), targets_of(shadow_samples, 16), {}).defined());
}

TEST(Pass, PullsToItsInputAsOftenAsThereAreWindowsAndThenToTheParameters) {
  const Module module(modules_by(mlaan_on("greedy"), backbone_of("resnet14", 16), 6)[3], doubles());
  stir(module.parameters());
  const at::Tensor x = batch_of(shadow_samples, module.spec().in).requires_grad_(true);
  const Pass pass = module.forward(x, Mode::train, /*to_input=*/true);
  at::Tensor y = x;
  for (const Block& block : module.blocks()) y = block.forward(y, Mode::train);
  for (std::uint64_t window = 0; window < 3; ++window) {
    const at::Tensor grad = batch_of(shadow_samples, module.spec().out, 40 + window);
    EXPECT_LT(distance(pull_to_input(pass, grad),
                       torch::autograd::grad({y}, {x}, {grad}, /*retain_graph=*/true).front()),
              1e-12);
  }
  const at::Tensor grad = batch_of(shadow_samples, module.spec().out, 50);
  EXPECT_LT(distance(module.pull_to_parameters(pass, grad),
                     torch::autograd::grad({y}, module.block_parameters(), {grad})),
            1e-12);
}

}  // namespace
}  // namespace lamina
