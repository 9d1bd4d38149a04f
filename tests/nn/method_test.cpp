#include <gmock/gmock.h>

#include <set>

#include "lamina/core/error.hpp"
#include "nn/examples.hpp"

// How a method becomes weights, windows, branches and EMAs.
namespace lamina {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string error_of(const MethodConfig& method) {
  try {
    resolve_mlaan(method);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::config);
    return error.what();
  }
  return "nothing was thrown";
}

TEST(ResolveMlaan, APlainFrameworkHasIndependentLossesOfWeightOneAlone) {
  for (const char* framework : {"greedy", "dgl", "infopro", "predsim", "auglocal", "e2e"}) {
    const MlaanConfig plain =
        resolve_mlaan({.framework = framework, .mlaan = {.window = 4, .lam_on = "cascaded"}});
    EXPECT_EQ(plain.window, 1);
    EXPECT_EQ(plain.wx, 1);
    EXPECT_EQ(plain.wy, 0);
    EXPECT_EQ(plain.lam_on, "none");
    EXPECT_FALSE(plain.scale);
  }
}

TEST(ResolveMlaan, ASectionIsTakenAsItIs) {
  const MlaanConfig own{.window = 2, .wx = 0.25, .wy = 0, .lam_on = "independent", .scale = true};
  const MlaanConfig found = resolve_mlaan(mlaan_on("infopro", own));
  EXPECT_EQ(found.window, 2);
  EXPECT_EQ(found.wx, 0.25);
  EXPECT_EQ(found.wy, 0);
  EXPECT_EQ(found.lam_on, "independent");
  EXPECT_TRUE(found.scale);
}

TEST(ResolveMlaan, TheSiblingsAreMadeOfTheSameParts) {
  const auto leaps = [](const MlaanConfig& found) { return std::get<std::string>(found.leaps); };
  for (const char* framework : {"man", "man++"}) {
    const MlaanConfig found = resolve_mlaan({.framework = framework});
    EXPECT_EQ(found.window, 1);
    EXPECT_EQ(found.wx, 1);
    EXPECT_EQ(found.wy, 0);
    EXPECT_EQ(found.lam_on, "independent");
    EXPECT_EQ(leaps(found), "next");
    EXPECT_EQ(found.scale, std::string(framework) == "man++");
  }
  const MlaanConfig hpff = resolve_mlaan({.framework = "hpff"});
  EXPECT_EQ(hpff.window, 2);
  EXPECT_EQ(hpff.wx, 1);
  EXPECT_EQ(hpff.wy, 1);
  EXPECT_EQ(hpff.lam_on, "none");
}

TEST(ResolveMlaan, ASiblingLeavesNoRoomForASection) {
  for (const char* framework : {"man", "man++", "hpff"})
    EXPECT_THAT(error_of(mlaan_on(framework)),
                testing::AllOf(HasSubstr("method.mlaan"), HasSubstr(framework)));
}

TEST(ResolveMlaan, SomeLossHasToHaveAWeight) {
  EXPECT_THAT(error_of(mlaan_on("greedy", {.wx = 0, .wy = 0})), HasSubstr("wx or wy above 0"));
}

TEST(PassedOver, SaysWhatChangesNothing) {
  const auto lines = [](const MethodConfig& method) { return passed_over(method); };
  EXPECT_THAT(lines(mlaan_on("dgl")), IsEmpty());
  EXPECT_THAT(lines({.framework = "e2e", .mlaan = {.ema_depth = "all"}}), IsEmpty()) << "there is no section";
  EXPECT_THAT(lines(mlaan_on("dgl", {.wy = 0})), ElementsAre(HasSubstr("as wy is 0")));
  EXPECT_THAT(lines(mlaan_on("dgl", {.wx = 0, .lam_on = "independent"})),
              ElementsAre(HasSubstr("as wx is 0")));
  EXPECT_THAT(lines(mlaan_on("dgl", {.wx = 0})), IsEmpty());
  EXPECT_THAT(
      lines(mlaan_on("dgl",
                     {.ema_depth = "all", .lam_on = "none", .leaps = std::string("next"), .scale = true})),
      ElementsAre(HasSubstr("mlaan.leaps"), HasSubstr("mlaan.ema_depth"), HasSubstr("mlaan.scale")));
  EXPECT_THAT(lines(mlaan_on("e2e")), ElementsAre(HasSubstr("framework e2e")));
}

// "independent", "cascaded+lam", ...
std::vector<std::string> described(const ModuleSpec& module) {
  std::vector<std::string> all;
  for (const BranchSpec& branch : module.branches)
    all.push_back(branch.name + (branch.leaps.empty() ? "" : "+lam"));
  return all;
}

TEST(MakeModules, EveryModuleButTheLastHasBothLossesAndTheLastHasTheClassifier) {
  const Backbone net = backbone_of("resnet32");
  const std::vector<ModuleSpec> modules = modules_by(mlaan_on("dgl", {.wx = 0.25, .wy = 0.75}), net, 8);
  for (const ModuleSpec& module : modules) {
    if (module.is_last) {
      EXPECT_THAT(described(module), ElementsAre("classifier"));
      EXPECT_EQ(module.branches[0].own_weight, 0.25);
      EXPECT_EQ(module.branches[0].window_weight, 0.75);
      continue;
    }
    ASSERT_THAT(described(module), ElementsAre("independent", "cascaded+lam"));
    EXPECT_EQ(module.branches[0].own_weight, 0.25);
    EXPECT_EQ(module.branches[0].window_weight, 0);
    EXPECT_EQ(module.branches[1].own_weight, 0);
    EXPECT_EQ(module.branches[1].window_weight, 0.75);
    for (const BranchSpec& branch : module.branches) {
      EXPECT_EQ(branch.module, module.index);
      EXPECT_EQ(branch.in, module.out);
      EXPECT_EQ(branch.head.name, "dgl");
    }
    EXPECT_EQ(module.branches[1].head_in(), net.blocks.back().out) << "a LAM ends in the last block";
  }
}

TEST(MakeModules, WeightsAndLamSayWhichBranchesThereAre) {
  const auto second = [](const MethodConfig& method) {
    return described(modules_by(method, backbone_of("resnet14", 16), 6)[1]);
  };
  EXPECT_THAT(second(mlaan_on("greedy", {.wx = 0})), ElementsAre("cascaded+lam"));
  EXPECT_THAT(second(mlaan_on("greedy", {.wy = 0})), ElementsAre("independent"));
  EXPECT_THAT(second(mlaan_on("greedy", {.lam_on = "independent"})),
              ElementsAre("independent+lam", "cascaded"));
  EXPECT_THAT(second(mlaan_on("greedy", {.lam_on = "none"})), ElementsAre("independent", "cascaded"));
  EXPECT_THAT(second({.framework = "man"}), ElementsAre("independent+lam"));
  EXPECT_THAT(second({.framework = "hpff"}), ElementsAre("independent", "cascaded"));
  EXPECT_THAT(second({.framework = "dgl"}), ElementsAre("independent"));
}

TEST(MakeModules, OnlyTheFirstLeapHasAnEmaUnlessAllHave) {
  const auto with_ema = [](const MlaanConfig& mlaan) {
    const std::vector<ModuleSpec> modules = modules_by(mlaan_on("greedy", mlaan), backbone_of("resnet32"), 8);
    std::vector<bool> all;
    for (const LeapSpec& leap : modules[0].branches[1].leaps) all.push_back(leap.with_ema);
    return all;
  };
  EXPECT_THAT(with_ema({}), ElementsAre(true, false, false, false));
  EXPECT_THAT(with_ema({.ema_depth = "all"}), ElementsAre(true, true, true, true));
}

struct Release {
  std::int64_t window;
  std::int64_t modules;
};
class ReleasedCode : public testing::TestWithParam<Release> {};
INSTANTIATE_TEST_SUITE_P(Windows, ReleasedCode, testing::Values(Release{2, 8}, Release{3, 8}, Release{3, 15}),
                         [](const auto& test) {
                           return "K" + std::to_string(test.param.modules) + "k" +
                                  std::to_string(test.param.window);
                         });

TEST_P(ReleasedCode, HasNoLossesBeforeTheFirstWholeWindowAndOneOfWeightOneBehindTheLast) {
  MethodConfig method = mlaan_on("dgl", {.window = GetParam().window});
  method.compat = "release";
  const std::vector<ModuleSpec> modules = modules_by(method, backbone_of("resnet32"), GetParam().modules);
  for (const ModuleSpec& module : modules) {
    if (module.is_last) {
      ASSERT_THAT(described(module), ElementsAre("classifier"));
      EXPECT_EQ(module.branches[0].own_weight, 0);
      EXPECT_EQ(module.branches[0].window_weight, 1);
    } else if (module.index < GetParam().window - 1) {
      EXPECT_TRUE(module.branches.empty()) << module.index;
    } else {
      EXPECT_THAT(described(module), ElementsAre("independent", "cascaded+lam")) << module.index;
    }
  }
}

// Names of the blocks that have an EMA; behind those that are not updated stands a "-".
std::set<std::string> emas(const std::vector<ModuleSpec>& modules) {
  std::set<std::string> names;
  for (const ModuleSpec& module : modules)
    for (const EmaSpec& ema : module.emas)
      names.insert(text(module.blocks.at(ema.block).id) + (ema.updated ? "" : "-"));
  return names;
}

TEST(MakeModules, AnEmaIsKeptOfEveryBlockThatALamLeapsToWithOne) {
  const Backbone net = backbone_of("resnet32");
  using Names = std::set<std::string>;
  EXPECT_EQ(emas(modules_by(mlaan_on("dgl"), net, 8)), (Names{"[2,0]", "[3,0]", "[3,2]", "[3,3]"}));
  EXPECT_EQ(emas(modules_by(mlaan_on("dgl", {.ema_depth = "all"}), net, 8)),
            (Names{"[2,0]", "[3,0]", "[3,2]", "[3,3]", "[3,4]"}));
  EXPECT_EQ(emas(modules_by(mlaan_on("dgl"), net, 15)),
            (Names{"[2,0]", "[3,0]", "[3,1]", "[3,2]", "[3,3]", "[3,4]"}));
  EXPECT_EQ(emas(modules_by(mlaan_on("dgl", {.lam_on = "none"}), net, 8)), Names{});
  EXPECT_EQ(emas(modules_by(mlaan_on("dgl", {.wy = 0}), net, 8)), Names{}) << "no branch leaps";
  EXPECT_EQ(emas(modules_by({.framework = "man"}, net, 4)), (Names{"[1,3]", "[2,2]", "[3,1]"}))
      << "the first blocks of the next modules";
}

TEST(MakeModules, TheReleasedCodeUpdatesTheLastLamsEmaAlone) {
  MethodConfig method = mlaan_on("dgl");
  method.compat = "release";
  const Backbone net = backbone_of("resnet32");
  using Names = std::set<std::string>;
  EXPECT_EQ(emas(modules_by(method, net, 8)), (Names{"[2,0]-", "[3,0]-", "[3,2]-", "[3,3]"}));
  EXPECT_EQ(emas(modules_by(method, net, 15)),
            (Names{"[2,0]-", "[3,0]-", "[3,1]-", "[3,2]-", "[3,3]-", "[3,4]"}));
}

// Parameters of all LAMs' copies: docs/method.md, Leaps.
std::int64_t copied(const std::vector<ModuleSpec>& modules) {
  std::int64_t sum = 0;
  for (const ModuleSpec& module : modules)
    for (const BranchSpec& branch : module.branches)
      sum += branch.parameters() - cost(branch.head, branch.head_in()).parameters;
  return sum;
}

TEST(MakeModules, TheCopiesHaveThePublishedNumbersOfParameters) {
  const auto of = [](const char* net, std::int64_t modules) {
    return copied(modules_by(mlaan_on("dgl"), backbone_of(net), modules));
  };
  EXPECT_EQ(of("resnet32", 8), 1'589'952);
  EXPECT_EQ(of("resnet32", 15), 3'165'376);
  EXPECT_EQ(of("resnet110", 32), 6'756'672);
  EXPECT_EQ(of("resnet110", 54), 11'439'744);
}

TEST(MakeModules, TheTensorsAreAsManyAsTheirSpecsSay) {
  std::int64_t copies = 0;
  for (const ModuleSpec& spec : modules_by(mlaan_on("greedy", {.scale = true}), backbone_of("resnet32"), 8)) {
    const Module module(spec, Initializer(1));
    EXPECT_EQ(num_values(module.parameters()), spec.parameters()) << spec.index;
    for (const NamedTensor& entry : module.tensors())
      if (entry.trained && entry.name.find(".aug.") != std::string::npos) copies += entry.tensor.numel();
  }
  EXPECT_EQ(copies, 1'589'952);
}

}  // namespace
}  // namespace lamina
