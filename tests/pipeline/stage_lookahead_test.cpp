#include <gmock/gmock.h>

#include "lamina/core/error.hpp"
#include "window_network.hpp"

// Windows that reach over a stage's end.
namespace lamina {
namespace {

using tests::largest_error;
using tests::mlaan;
using tests::options_for;
using tests::Pipeline;
using tests::six_modules;
using tests::six_packet;
using tests::Tensors;

constexpr int num_steps = 5;
constexpr double large_lr = 0.5;

struct Cut {
  std::vector<std::int64_t> ends;
  SnapshotPolicy policy{};
  bool lookahead = true;
};

Tensors after_steps(const MethodConfig& method, const Cut& cut) {
  Pipeline pipeline(six_modules(method), cut.ends, options_for(method), cut.policy, cut.lookahead);
  for (int step = 0; step < num_steps; ++step) pipeline.step(six_packet(step, large_lr));
  Tensors clones;
  for (const auto& [name, tensor] : pipeline.tensors()) clones.emplace(name, tensor.to(at::kDouble).clone());
  return clones;
}

struct LookaheadCell {
  std::string name;
  MethodConfig method;
};

void PrintTo(const LookaheadCell& cell, std::ostream* os) {
  *os << cell.name;
}

std::vector<LookaheadCell> lookahead_cells() {
  std::vector<LookaheadCell> all;
  for (const std::int64_t window : {2, 3, 4})
    all.push_back({"Window" + std::to_string(window), mlaan(window)});
  MethodConfig rich = mlaan(3, "dgl");
  rich.mlaan.ema_depth = "all";
  rich.mlaan.scale = true;
  all.push_back({"AllEmasScaledOnDgl", rich});
  MethodConfig independent = mlaan(3);
  independent.mlaan.lam_on = "independent";
  all.push_back({"LamOnIndependent", independent});
  all.push_back({"OnInfoPro", mlaan(3, "infopro")});
  all.push_back({"Hpff", {.framework = "hpff"}});
  return all;
}

class Lookahead : public ::testing::TestWithParam<LookaheadCell> {};
INSTANTIATE_TEST_SUITE_P(Methods, Lookahead, ::testing::ValuesIn(lookahead_cells()),
                         [](const auto& test) { return test.param.name; });

// What must hold, 1: at lag 0 the cut does not matter. The other ways differ, so this can fail.
TEST_P(Lookahead, AtLagZeroTheCutDoesNotMatter) {
  const MethodConfig& method = GetParam().method;
  const Tensors one = after_steps(method, {.ends = {}});
  for (const std::vector<std::int64_t>& ends : {std::vector<std::int64_t>{2}, {1, 3}, {0, 1, 2, 3, 4}})
    EXPECT_LT(largest_error(after_steps(method, {.ends = ends}), one), 1e-9) << ends.size() + 1 << " stages";
  EXPECT_GT(largest_error(after_steps(method, {.ends = {2}, .policy = {.lag = 1}}), one), 1e-3);
  EXPECT_GT(largest_error(after_steps(method, {.ends = {2}, .lookahead = false}), one), 1e-3);
}

TEST(StageLookahead, AManThatHasNoWindowsTakesEmasOverTheCutAlone) {
  const MethodConfig method{.framework = "man++"};
  const Tensors one = after_steps(method, {.ends = {}});
  EXPECT_LT(largest_error(after_steps(method, {.ends = {1, 3}}), one), 1e-9);
  EXPECT_LT(largest_error(after_steps(method, {.ends = {1, 3}, .lookahead = false}), one), 1e-9);
  EXPECT_GT(largest_error(after_steps(method, {.ends = {1, 3}, .policy = {.lag = 1}}), one), 1e-6);
}

TEST(StageLookahead, ALongerLagIsAnotherRun) {
  const Cut one{.ends = {2}, .policy = {.lag = 1}}, two{.ends = {2}, .policy = {.lag = 2}},
      sparse{.ends = {2}, .policy = {.lag = 1, .every = 2}};
  EXPECT_GT(largest_error(after_steps(mlaan(3), two), after_steps(mlaan(3), one)), 1e-4);
  EXPECT_GT(largest_error(after_steps(mlaan(3), sparse), after_steps(mlaan(3), one)), 1e-4);
}

TEST(StageLookahead, RunningStatisticsMoveOnceAStepWhoeverLooksOn) {
  const Tensors found = after_steps(mlaan(3, "dgl"), {.ends = {0, 1, 2, 3, 4}});
  for (const auto& [name, tensor] : found)
    if (name.ends_with("num_batches_tracked")) {
      EXPECT_EQ(tensor.item<double>(), num_steps) << name;
    }
}

std::vector<StageSpec> specs(const MethodConfig& method, const std::vector<std::int64_t>& ends,
                             bool lookahead) {
  return make_stage_specs(cut_into_stages(six_modules(method), ends), options_for(method).window, lookahead);
}

std::vector<std::int64_t> looked_at(const StageSpec& stage) {
  std::vector<std::int64_t> modules;
  for (const ModuleSpec& module : stage.lookahead) modules.push_back(module.index);
  return modules;
}

TEST(StageSpec, LooksAheadAsFarAsItsLastModulesWindowsReach) {
  using ::testing::ElementsAre;
  const auto three = specs(mlaan(3), {1, 4}, true);
  EXPECT_THAT(looked_at(three[0]), ElementsAre(2, 3));
  EXPECT_THAT(looked_at(three[1]), ElementsAre(5));
  EXPECT_THAT(looked_at(three[2]), ElementsAre());
  for (const StageSpec& stage : specs(mlaan(3), {1, 4}, false)) EXPECT_TRUE(stage.lookahead.empty());
  for (const StageSpec& stage : specs(mlaan(1), {1, 4}, true)) EXPECT_TRUE(stage.lookahead.empty());
}

TEST(StageSpec, EveryPartThatIsShadowedIsPublishedByOneLaterStage) {
  for (const bool lookahead : {true, false}) {
    MethodConfig method = mlaan(3);
    method.mlaan.ema_depth = "all";
    const auto stages = specs(method, {1, 3}, lookahead);
    std::set<std::string> wanted, published;
    for (const StageSpec& reader : stages)
      for (const std::string& part : reader.shadowed()) {
        wanted.insert(part);
        std::vector<int> owners;
        for (const StageSpec& stage : stages)
          if (std::count(stage.published.begin(), stage.published.end(), part) > 0)
            owners.push_back(stage.index);
        ASSERT_EQ(owners.size(), 1u) << part;
        EXPECT_GT(owners.front(), reader.index) << part;
      }
    for (const StageSpec& stage : stages) published.insert(stage.published.begin(), stage.published.end());
    EXPECT_EQ(published, wanted) << "nothing is published that nobody wants";
    EXPECT_EQ(wanted.contains("module.2"), lookahead);
    EXPECT_TRUE(wanted.contains("ema.layer2.0"));
  }
}

TEST(StageSpec, PlainFrameworksShareNothing) {
  for (const StageSpec& stage : specs({.framework = "dgl"}, {1, 3}, true)) {
    EXPECT_TRUE(stage.shadowed().empty());
    EXPECT_TRUE(stage.published.empty());
  }
}

class Shadows : public ::testing::Test {
 protected:
  Pipeline pipeline_{six_modules(mlaan(3)), {2}, options_for(mlaan(3))};
  Stage& reader_ = pipeline_.stages()[0];
  Stage& owner_ = pipeline_.stages()[1];
  std::unique_ptr<HostCopies> copies_ = make_host_copies(at::kCPU);
};

TEST_F(Shadows, ACopyOfAPartIsAsItWasAndFillsItsShadow) {
  ASSERT_FALSE(owner_.spec().published.empty());
  for (const std::string& part : owner_.spec().published) {
    const Snapshot copy = owner_.copy_part(part, 7);
    EXPECT_EQ(copy.part, part);
    EXPECT_EQ(copy.version, 7);
    const std::vector<at::Tensor> live = owner_.part_tensors(part);
    ASSERT_EQ(copy.tensors.size(), live.size());
    const at::Tensor before = live.front().detach().clone();
    live.front().detach().add_(1);
    EXPECT_TRUE(at::equal(copy.tensors.front(), before));
    reader_.fill(copy, *copies_);
    const std::vector<at::Tensor>& shadow = reader_.shadows().at(part);
    for (std::size_t i = 0; i < shadow.size(); ++i) {
      EXPECT_TRUE(at::equal(shadow[i], copy.tensors[i]));
      EXPECT_FALSE(shadow[i].is_alias_of(copy.tensors[i]));
      EXPECT_EQ(shadow[i].strides(), live[i].strides()) << "as snapshot_shape() tells the peers";
    }
  }
}

TEST_F(Shadows, AForeignPartIsAContractError) {
  EXPECT_THROW(reader_.copy_part("module.3", 0), Error);
  EXPECT_THROW(owner_.fill(owner_.copy_part("module.3", 0), *copies_), Error);
  Snapshot halved = owner_.copy_part("module.3", 0);
  halved.tensors.pop_back();
  EXPECT_THROW(reader_.fill(halved, *copies_), Error);
}

TEST_F(Shadows, AStepOnShadowsThatNobodyFilledEndsTheRun) {
  const auto modules = six_modules(mlaan(3));
  const auto stages = make_stage_specs(cut_into_stages(modules, std::vector<std::int64_t>{2}), 3, true);
  Stage alone(stages[0], options_for(mlaan(3)), Initializer(1, at::kDouble));
  try {
    alone.process(six_packet(0));
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::nonfinite) << error.what();
  }
}

}  // namespace
}  // namespace lamina
