#include <gmock/gmock.h>

#include <set>

#include "lamina/core/error.hpp"
#include "naive_step.hpp"
#include "window_network.hpp"

// A stage of several modules under windows.
namespace lamina {
namespace {

using tests::largest_error;
using tests::mlaan;
using tests::NaiveStep;
using tests::options_for;
using tests::Pipeline;
using tests::six_modules;
using tests::six_packet;

struct Cell {
  std::string name;
  MethodConfig method;
};

void PrintTo(const Cell& cell, std::ostream* os) {
  *os << cell.name;
}

MethodConfig with(MethodConfig method, const std::function<void(MethodConfig&)>& change) {
  change(method);
  return method;
}

std::vector<Cell> cells() {
  std::vector<Cell> all;
  for (const std::int64_t window : {1, 2, 3, 4})
    all.push_back({"Window" + std::to_string(window), mlaan(window)});
  const auto also = [&](const char* name, const std::function<void(MethodConfig&)>& change) {
    all.push_back({name, with(mlaan(3), change)});
  };
  also("WindowOverAll", [](MethodConfig& m) { m.mlaan.window = 9; });
  also("WithoutLam", [](MethodConfig& m) { m.mlaan.lam_on = "none"; });
  also("LamOnIndependent", [](MethodConfig& m) { m.mlaan.lam_on = "independent"; });
  also("AllEmas", [](MethodConfig& m) { m.mlaan.ema_depth = "all"; });
  also("Scaled", [](MethodConfig& m) { m.mlaan.scale = true; });
  also("CascadedAlone", [](MethodConfig& m) { m.mlaan.wx = 0; });
  also("IndependentAlone", [](MethodConfig& m) { m.mlaan.wy = 0; });
  also("Released", [](MethodConfig& m) { m.compat = "release"; });
  for (const char* framework : {"dgl", "infopro", "predsim"})
    all.push_back({std::string("On_") + framework, mlaan(3, framework)});
  for (const auto& [name, framework] : {std::pair{"Man", "man"}, {"ManPlusPlus", "man++"}, {"Hpff", "hpff"}})
    all.push_back({name, {.framework = framework}});
  return all;
}

class EachMethod : public ::testing::TestWithParam<Cell> {};
INSTANTIATE_TEST_SUITE_P(Methods, EachMethod, ::testing::ValuesIn(cells()),
                         [](const auto& test) { return test.param.name; });

TEST_P(EachMethod, AStepEqualsTheReferenceThatRecomputesEveryWindow) {
  const std::vector<ModuleSpec> modules = six_modules(GetParam().method);
  const StageOptions options = options_for(GetParam().method);
  Pipeline one(modules, {}, options);
  NaiveStep naive(modules, options, Initializer(1, at::kDouble));
  for (std::int64_t step = 0; step < 3; ++step) {
    one.step(six_packet(step));
    const auto expected = naive.step(six_packet(step));
    ASSERT_EQ(one.gradients().size(), expected.size());
    EXPECT_LT(largest_error(one.gradients(), expected), 1e-9) << "gradients of step " << step;
    EXPECT_LT(largest_error(one.tensors(), naive.tensors()), 1e-9)
        << "parameters and EMAs after step " << step;
  }
}

TEST_P(EachMethod, EveryRunningStatisticMovesOnceAStep) {
  const std::vector<ModuleSpec> modules = six_modules(GetParam().method);
  Pipeline one(modules, {}, options_for(GetParam().method));
  for (std::int64_t step = 1; step <= 2; ++step) {
    one.step(six_packet(step));
    std::size_t counters = 0;
    for (const auto& [name, tensor] : one.tensors())
      if (name.ends_with("num_batches_tracked")) {
        EXPECT_EQ(tensor.item<std::int64_t>(), step) << name;
        ++counters;
      }
    EXPECT_GT(counters, 13u) << "one of each of the backbone's norms at least";
  }
}

// The number of a module that holds a tensor.
std::int64_t module_of(const std::vector<Stage>& stages, const std::string& name) {
  for (const Stage& stage : stages)
    for (const Stage::Part& part : stage.parts())
      for (const NamedTensor& entry : part.module.tensors())
        if (entry.name == name) return part.module.spec().index;
  return -1;
}

// Modules whose blocks' gradients, or whose branches' that are not perturbed themselves, are others than
// without the perturbation.
std::set<std::int64_t> touched(const std::vector<ModuleSpec>& modules, const StageOptions& options,
                               const std::function<bool(const std::string& name)>& perturbed) {
  Pipeline before(modules, {}, options), after(modules, {}, options);
  for (const auto& [name, tensor] : after.tensors())
    if (perturbed(name)) tensor.add_(at::randn_like(tensor), 0.1);
  before.step(six_packet(0));
  after.step(six_packet(0));
  std::set<std::int64_t> all;
  for (const auto& [name, grad] : after.gradients())
    if (!perturbed(name) && !at::equal(grad, before.gradients().at(name)))
      all.insert(module_of(after.stages(), name));
  return all;
}

TEST(StageWindow, ACascadedLossReachesTheModulesOfItsWindowAndNoOthers) {
  for (const std::int64_t window : {1, 2, 3}) {
    const std::vector<ModuleSpec> modules = six_modules(mlaan(window));
    for (std::int64_t i = 0; i < 5; ++i) {
      std::set<std::int64_t> expected;
      for (std::int64_t j = std::max<std::int64_t>(0, i - window + 1); j <= i; ++j) expected.insert(j);
      const std::string head = "head." + std::to_string(i) + ".cascaded.",
                        lam = "lam." + std::to_string(i) + ".";
      for (const std::string& part : {head, lam})
        EXPECT_EQ(touched(modules, options_for(mlaan(window)),
                          [&](const std::string& name) {
                            return name.starts_with(part) && !name.ends_with("num_batches_tracked");
                          }),
                  expected)
            << part << " of windows of " << window;
    }
  }
}

TEST(StageWindow, AnIndependentLossReachesItsOwnModuleAlone) {
  const std::vector<ModuleSpec> modules = six_modules(mlaan(3));
  for (std::int64_t i = 0; i < 5; ++i) {
    const std::string head = "head." + std::to_string(i) + ".independent.";
    EXPECT_EQ(touched(modules, options_for(mlaan(3)),
                      [&](const std::string& name) { return name.starts_with(head); }),
              std::set<std::int64_t>{i});
  }
}

// The running statistics' counters tell how far the step has come when a module is updated.
TEST(StageWindow, NoGraphIsKeptLongerThanItsWindow) {
  for (const std::int64_t window : {1, 2, 3, 4}) {
    const std::vector<ModuleSpec> modules = six_modules(mlaan(window));
    Pipeline one(modules, {}, options_for(mlaan(window)));
    Stage& stage = one.stages().front();
    const auto num_forwards = [&] {
      std::int64_t sum = 0;
      for (const Stage::Part& part : stage.parts())
        for (const NamedTensor& entry : part.module.blocks().back().tensors())
          if (entry.name.ends_with("bn1.num_batches_tracked")) sum += entry.tensor.item<std::int64_t>();
      return sum;
    };
    std::vector<std::pair<std::int64_t, std::int64_t>>
        seen;  // a module, and how many had been forward by then
    stage.observe_gradients([&](const std::string& name, const at::Tensor&) {
      const std::pair now(module_of(one.stages(), name), num_forwards());
      if (seen.empty() || seen.back() != now) seen.push_back(now);
    });
    one.step(six_packet(0));
    std::vector<std::pair<std::int64_t, std::int64_t>> expected;
    for (std::int64_t i = 0; i < 6; ++i) expected.emplace_back(i, std::min<std::int64_t>(6, i + window));
    EXPECT_EQ(seen, expected) << "windows of " << window;
  }
}

TEST(StageWindow, ReportsEveryLossOfEveryModule) {
  Pipeline one(six_modules(mlaan(3)), {}, options_for(mlaan(3)));
  const Packet packet = one.step(six_packet(0));
  ASSERT_EQ(packet.modules.size(), 6u);
  for (std::size_t i = 0; i < 6; ++i) {
    std::vector<std::string> branches;
    for (const LossReport& loss : packet.modules[i].losses) {
      branches.push_back(loss.branch);
      EXPECT_NEAR(loss.loss, std::log(10.0), 2.0)
          << "of a network that knows nothing, and without its weight";
      EXPECT_GE(loss.correct, 0);
    }
    if (i < 5)
      EXPECT_THAT(branches, ::testing::ElementsAre("independent", "cascaded"));
    else
      EXPECT_THAT(branches, ::testing::ElementsAre("classifier"));
  }
}

TEST(StageWindow, AModuleThatNoLossReachesIsAContractError) {
  std::vector<ModuleSpec> modules = six_modules(mlaan(1));
  modules[2].branches.clear();
  Pipeline one(modules, {}, options_for(mlaan(1)));
  EXPECT_THROW(one.step(six_packet(0)), Error);
}

}  // namespace
}  // namespace lamina
