#include <gtest/gtest.h>

#include <cmath>

#include "nn/examples.hpp"

// The EMAs of blocks that modules keep for LAMs: docs/method.md, Leaps.
namespace lamina {
namespace {

std::vector<ModuleSpec> specs(const MlaanConfig& mlaan = {}) {
  return modules_by(mlaan_on("greedy", mlaan), backbone_of("resnet14", 16), 6);
}

std::vector<at::Tensor> clones(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> all;
  for (const at::Tensor& tensor : tensors) all.push_back(tensor.detach().clone());
  return all;
}

TEST(Ema, FollowsTheLiveBlockByItsClosedForm) {
  constexpr double m = 0.95;
  constexpr int steps = 100;
  std::size_t num_emas = 0;
  for (const ModuleSpec& spec : specs()) {
    const Module module(spec, doubles());
    if (module.emas().empty()) continue;
    const Module::Ema& ema = module.emas().front();
    num_emas += module.emas().size();
    std::vector<at::Tensor> expected = clones(values_of(ema.copy.tensors()));
    for (at::Tensor& value : expected) value *= std::pow(m, steps);
    for (int t = 0; t < steps; ++t) {
      stir(module.block_parameters(), 7000 + 100 * t);
      for (std::size_t i = 0; i < expected.size(); ++i)
        expected[i] += (1 - m) * std::pow(m, steps - 1 - t) * ema.live[i];
      module.update_emas(m);
    }
    EXPECT_LT(distance(values_of(ema.copy.tensors()), expected), 1e-12) << ema.block;
    EXPECT_GT(distance(values_of(ema.copy.tensors()), ema.live), 1e-2) << "as if it were the live block";
  }
  EXPECT_GT(num_emas, 0u);
}

TEST(Ema, ItsLiveBlockIsTheModulesOwn) {
  for (const ModuleSpec& spec : specs()) {
    const Module module(spec, doubles());
    for (std::size_t e = 0; e < spec.emas.size(); ++e) {
      const std::vector<at::Tensor> live = trained(module.blocks().at(spec.emas[e].block).tensors());
      EXPECT_EQ(module.emas()[e].block, spec.blocks[spec.emas[e].block].name);
      ASSERT_EQ(module.emas()[e].live.size(), live.size());
      for (std::size_t i = 0; i < live.size(); ++i)
        EXPECT_TRUE(module.emas()[e].live[i].is_alias_of(live[i]));
    }
  }
}

TEST(Ema, OneThatIsNotUpdatedStaysAsItBegan) {
  std::size_t seen = 0;
  for (ModuleSpec spec : specs()) {
    for (EmaSpec& ema : spec.emas) ema.updated = false;
    const Module module(spec, doubles());
    for (const Module::Ema& ema : module.emas()) {
      const std::vector<at::Tensor> before = clones(values_of(ema.copy.tensors()));
      stir(module.block_parameters());
      module.update_emas(0.5);
      EXPECT_TRUE(same(values_of(ema.copy.tensors()), before)) << ema.block;
      ++seen;
    }
  }
  EXPECT_GT(seen, 0u);
}

TEST(Ema, CopyEmaAndLiveBlockBeginAlike) {
  const std::vector<Module> modules = build(specs({.ema_depth = "all"}), doubles());
  std::map<std::string, at::Tensor> live;
  for (const Module& module : modules)
    for (const Block& block : module.blocks()) live.merge(by_name(block.tensors()));
  std::size_t copies = 0, averages = 0;
  for (const Module& module : modules) {
    for (const Module::Ema& ema : module.emas())
      for (const NamedTensor& entry : ema.copy.tensors()) {
        ASSERT_TRUE(entry.name.starts_with("ema.")) << entry.name;
        EXPECT_TRUE(at::equal(entry.tensor, live.at(entry.name.substr(4)))) << entry.name;
        ++averages;
      }
    for (const Branch& branch : module.branches())
      for (std::size_t j = 0; j < branch.spec().leaps.size(); ++j) {
        const std::string prefix =
            "lam." + std::to_string(module.spec().index) + ".aug." + std::to_string(j) + ".";
        for (const NamedTensor& entry : branch.tensors()) {
          if (!entry.name.starts_with(prefix)) continue;
          const std::string of = branch.spec().leaps[j].block.name + "." + entry.name.substr(prefix.size());
          EXPECT_TRUE(at::equal(entry.tensor, live.at(of))) << entry.name << " and " << of;
          ++copies;
        }
      }
  }
  EXPECT_GT(copies, 0u);
  EXPECT_GT(averages, 0u);
}

TEST(Ema, IsAmongTheTensorsButIsNotTrained) {
  std::size_t seen = 0;
  for (const Module& module : build(specs(), doubles()))
    for (const NamedTensor& entry : module.tensors())
      if (entry.name.starts_with("ema.")) {
        EXPECT_FALSE(entry.trained) << entry.name;
        ++seen;
      }
  EXPECT_GT(seen, 0u);
}

}  // namespace
}  // namespace lamina
