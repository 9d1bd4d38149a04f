#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <tuple>

#include "lamina/core/error.hpp"
#include "lamina/nn/module.hpp"
#include "lamina/train/run_plan.hpp"

// Every run that the files under configs/ can be put together to, worked out as `lamina show` does.
namespace lamina {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using Names = std::vector<std::string>;

const fs::path configs = LAMINA_CONFIGS;

// What stands behind every module but the last. A framework that is not listed must have something there.
const std::map<std::string, std::string> head_of_framework{{"greedy", "linear"},
                                                           {"dgl", "dgl"},
                                                           {"infopro", "1c2f and decoder"},
                                                           {"predsim", "predsim"},
                                                           {"auglocal", "auglocal"},
                                                           {"man", "1c2f and decoder"},
                                                           {"man++", "1c2f and decoder"},
                                                           {"hpff", "1c2f and 4 decoders"}};
// These have windows and leaps of their own, or no module to train by a head.
const std::set<std::string> not_under_mlaan{"e2e", "man", "man++", "hpff"};
const Names cifar_nets{"resnet110-k32", "resnet110-k55", "resnet32-k16", "resnet32-k8"};

struct Cell {
  std::string data, net, method;
  bool mlaan = false;

  std::string framework() const {
    std::string longest = method.starts_with("e2e") ? "e2e" : "";
    for (const auto& [name, head] : head_of_framework)
      if (method.starts_with(name) && name.size() > longest.size()) longest = name;
    return longest;
  }
  bool operator==(const Cell&) const = default;
};

void PrintTo(const Cell& cell, std::ostream* os) {
  *os << cell.data << ' ' << cell.net << ' ' << cell.method << (cell.mlaan ? " mlaan" : "");
}

Names names(const std::string& folder) {
  Names found;
  for (const auto& entry : fs::directory_iterator(configs / folder))
    if (entry.path().extension() == ".yaml") found.push_back(entry.path().stem());
  std::sort(found.begin(), found.end());
  return found;
}

// Nets for ImageNet are called so; a method's file that ends in a net's name is for that net alone.
bool go_together(const std::string& data, const std::string& net, const std::string& method) {
  if (net.starts_with("imagenet-") != (data == "imagenet")) return false;
  for (const std::string& other : names("net"))
    if (method.ends_with("-" + other) && net != other) return false;
  return true;
}

std::vector<Cell> cells() {
  std::vector<Cell> all;
  for (const std::string& data : names("data"))
    for (const std::string& net : names("net"))
      for (const std::string& method : names("method")) {
        if (method == "mlaan" || !go_together(data, net, method)) continue;
        all.push_back({data, net, method});
        if (!not_under_mlaan.contains(all.back().framework())) all.push_back({data, net, method, true});
      }
  return all;
}

// Where there is no data: a plan needs none.
RunPlan plan_from(const Names& files) {
  ::setenv("LAMINA_DATA", "/nonexistent", /*overwrite=*/1);
  Names paths;
  for (const std::string& file : files) paths.push_back(configs / (file + ".yaml"));
  ConfigText text = ConfigText::from_files(paths);
  return make_run_plan(read_run_config(text), {});
}

RunPlan plan_from(const Cell& cell) {
  Names files{"data/" + cell.data, "net/" + cell.net, "method/" + cell.method};
  if (cell.mlaan) files.push_back("method/mlaan");
  return plan_from(files);
}

std::int64_t num_modules(const std::string& net) {
  ConfigText text = ConfigText::from_files({configs / "net" / (net + ".yaml")});
  return *read_run_config(text).partition.modules;
}

// HPFF's four decoders behind features of 7x7, where a module ends in ImageNet's last stage.
bool cannot_be_quartered(const Cell& cell) {
  return cell.data == "imagenet" && cell.method == "hpff" && num_modules(cell.net) > 8;
}

// Calls check(cell, its plan) for every cell that can be.
template <class Check>
void for_each_cell(Check check) {
  for (const Cell& cell : cells()) {
    if (cannot_be_quartered(cell)) continue;
    SCOPED_TRACE(testing::PrintToString(cell));
    check(cell, plan_from(cell));
  }
}

TEST(Grid, HasAllThatThePapersList) {
  const std::vector<Cell> all = cells();
  const auto has = [&](const Cell& cell) { return std::find(all.begin(), all.end(), cell) != all.end(); };
  for (const char* data : {"cifar10", "svhn", "stl10"})
    for (const std::string& net : cifar_nets) {
      for (const auto& [method, head] : head_of_framework) EXPECT_TRUE(has({data, net, method})) << method;
      for (const char* method : {"e2e", "infopro-contrast"}) EXPECT_TRUE(has({data, net, method})) << method;
      for (const char* method : {"greedy", "dgl", "infopro", "infopro-contrast", "predsim", "auglocal"})
        EXPECT_TRUE(has({data, net, method, true})) << method;
    }
  for (const char* net : {"resnet34-k16", "resnet101-k2", "resnet152-k2", "resnext101-k2"})
    EXPECT_TRUE(has({"imagenet", std::string("imagenet-") + net, "greedy", true})) << net;
}

TEST(Grid, EveryCellHasTheModulesAndTheHeadsOfItsFiles) {
  for_each_cell([](const Cell& cell, const RunPlan& plan) {
    EXPECT_EQ(plan.config.method.framework, cell.framework());
    EXPECT_EQ(plan.config.method.use_mlaan, cell.mlaan);
    EXPECT_EQ(plan.config.partition.modules, static_cast<std::int64_t>(plan.modules.size()));
    ASSERT_EQ(static_cast<std::int64_t>(plan.modules.size()),
              cell.method == "e2e" ? 1 : num_modules(cell.net));
    for (const ModuleSpec& module : plan.modules) {
      if (module.is_last) {
        ASSERT_EQ(module.branches.size(), 1u);
        EXPECT_EQ(module.branches.front().head.name, "classifier");
        continue;
      }
      const std::size_t num_branches = cell.mlaan || cell.method == "hpff" ? 2 : 1;
      ASSERT_EQ(module.branches.size(), num_branches) << module.index;
      for (const BranchSpec& branch : module.branches)
        EXPECT_EQ(branch.head.name, head_of_framework.at(cell.framework())) << module.index;
      if (num_branches == 2) {
        EXPECT_TRUE(module.branches.front().leaps.empty()) << module.index;
      }
      const std::vector<LeapSpec>& leaps = module.branches.back().leaps;
      if (cell.mlaan)
        EXPECT_EQ(leaps.back().block.name, plan.backbone.blocks.back().name) << module.index;
      else
        EXPECT_EQ(leaps.size(), cell.method.starts_with("man") ? 1U : 0U) << module.index;
    }
  });
}

// Of one network, since others are made of the same blocks and heads, and all take minutes.
TEST(Grid, EveryMethodsModulesCanBeBuiltAndAreAsLargeAsTheirSpecsSay) {
  const Initializer blank = Initializer(0).blank();
  for_each_cell([&](const Cell& cell, const RunPlan& plan) {
    if (cell.data != "cifar10" || cell.net != "resnet32-k8") return;
    for (const ModuleSpec& spec : plan.modules) {
      std::int64_t built = 0;
      for (const at::Tensor& parameter : Module(spec, blank).parameters()) built += parameter.numel();
      EXPECT_EQ(built, spec.parameters()) << spec.index;
    }
  });
}

TEST(Grid, EveryCellHasTheRecipeOfItsDataSet) {
  using Recipe = std::tuple<std::string, std::int64_t, double, std::int64_t, double>;
  const std::map<std::string, Recipe> recipes{{"cifar10", {"cifar10", 1024, 0.8, 400, 10}},
                                              {"svhn", {"svhn", 1024, 0.8, 400, 10}},
                                              {"stl10", {"stl10", 128, 0.1, 400, 10}},
                                              {"imagenet", {"imagefolder", 128, 0.05, 150, 0}}};
  for_each_cell([&](const Cell& cell, const RunPlan& plan) {
    const TrainConfig& train = plan.config.train;
    EXPECT_EQ(Recipe(plan.config.data.name, train.batch, train.lr, train.epochs, train.warmup_epochs),
              recipes.at(cell.data));
  });
}

TEST(Grid, QuartersOfOddFeaturesAreRefused) {
  int refused = 0;
  for (const Cell& cell : cells()) {
    if (!cannot_be_quartered(cell)) continue;
    SCOPED_TRACE(testing::PrintToString(cell));
    ++refused;
    EXPECT_THAT([&] { plan_from(cell); },
                testing::Throws<Error>(
                    testing::AllOf(testing::Property(&Error::kind, ErrorKind::config),
                                   testing::Property(&Error::what, HasSubstr("expected even sides")))));
  }
  EXPECT_GT(refused, 0);
}

TEST(Configs, FilesOfWholeRunsAreSound) {
  for (const char* folder : {"."})
    for (const std::string& name : names(folder)) {
      SCOPED_TRACE(name);
      EXPECT_NO_THROW(plan_from(Names{fs::path(folder) / name}));
    }
}

}  // namespace
}  // namespace lamina
