#include "lamina/nn/partition.hpp"

#include <gmock/gmock.h>

#include <functional>
#include <random>

#include "lamina/core/error.hpp"
#include "nn/examples.hpp"

namespace lamina {
namespace {

using testing::HasSubstr;

std::string ends_of(const Backbone& net, const PartitionConfig& config) {
  std::string ends;
  for (const std::int64_t end : cut_into_modules(net, config)) ends += text(net.blocks[end].id);
  return ends;
}

// "[s,first]..[s,last]"
std::string run(std::int64_t stage, std::int64_t first, std::int64_t last) {
  std::string ends;
  for (std::int64_t b = first; b <= last; ++b) ends += text(BlockId{stage, b});
  return ends;
}

struct CutRow {
  std::string backbone;
  std::int64_t modules;
  std::string ends;
};
void PrintTo(const CutRow& row, std::ostream* out) {
  *out << row.backbone << " K=" << row.modules;
}

class CutTable : public testing::TestWithParam<CutRow> {};
TEST_P(CutTable, IsThePublishedOne) {
  EXPECT_EQ(ends_of(backbone_of(GetParam().backbone), {.modules = GetParam().modules}), GetParam().ends);
}

INSTANTIATE_TEST_SUITE_P(Resnet32, CutTable,
                         testing::Values(CutRow{"resnet32", 2, "[2,1]"}, CutRow{"resnet32", 3, "[1,4][2,4]"},
                                         CutRow{"resnet32", 4, "[1,2][2,1][3,0]"},
                                         CutRow{"resnet32", 8, "[1,0][1,2][1,4][2,1][2,3][3,0][3,2]"},
                                         CutRow{"resnet32", 15, run(1, 0, 4) + run(2, 0, 4) + run(3, 0, 3)},
                                         CutRow{"resnet32", 16,
                                                "[0,0]" + run(1, 0, 4) + run(2, 0, 4) + run(3, 0, 3)}));

const std::string wide_stage_1 = "[1,1][1,2][1,4][1,5][1,7][1,9][1,11][1,13][1,14][1,16][1,17]";
const std::string wide_stage_2 = "[2,1][2,2][2,4][2,5][2,7][2,9][2,11][2,13][2,14][2,16][2,17]";
const std::string wide_stage_3 = "[3,1][3,3][3,4][3,6][3,7][3,9][3,11][3,13][3,15]";
INSTANTIATE_TEST_SUITE_P(
    Resnet110, CutTable,
    testing::Values(CutRow{"resnet110", 2, "[2,8]"}, CutRow{"resnet110", 3, "[1,17][2,17]"},
                    CutRow{"resnet110", 4, "[1,11][2,7][3,3]"},
                    CutRow{"resnet110", 8, "[1,4][1,11][2,0][2,7][2,14][3,3][3,10]"},
                    CutRow{
                        "resnet110", 16,
                        "[1,1][1,4][1,7][1,10][1,13][1,16][2,1][2,4][2,7][2,11][2,15][3,1][3,5][3,9][3,13]"},
                    CutRow{"resnet110", 32, wide_stage_1 + wide_stage_2 + wide_stage_3},
                    CutRow{"resnet110", 54, run(1, 0, 17) + run(2, 0, 17) + run(3, 0, 16)}));

INSTANTIATE_TEST_SUITE_P(
    Imagenet, CutTable,
    testing::Values(CutRow{"resnet34", 16, run(1, 0, 2) + run(2, 0, 3) + run(3, 0, 5) + run(4, 0, 1)},
                    CutRow{"resnet101", 2, "[2,0]"}, CutRow{"resnet101", 4, "[2,2][3,8][3,16]"},
                    CutRow{"resnet101", 8, "[2,0][3,1][3,5][3,9][3,13][3,17][3,21]"},
                    CutRow{"resnet101", 33, run(1, 0, 2) + run(2, 0, 3) + run(3, 0, 22) + run(4, 0, 1)},
                    CutRow{"resnet152", 2, "[2,5]"}, CutRow{"resnet152", 4, "[2,6][3,13][3,25]"},
                    CutRow{"resnet152", 50, run(1, 0, 2) + run(2, 0, 7) + run(3, 0, 35) + run(4, 0, 1)},
                    CutRow{"resnext101_32x8d", 2, "[2,2]"},
                    CutRow{"resnext101_32x8d", 4, "[2,2][3,8][3,16]"}));

// A cut is published for a network, whatever it was called by.
INSTANTIATE_TEST_SUITE_P(OtherNames, CutTable,
                         testing::Values(CutRow{"cifar-resnet32", 4, "[1,2][2,1][3,0]"},
                                         CutRow{"cifar-resnet110", 4, "[1,11][2,7][3,3]"}));

TEST(Partition, AVggHasNoStemSoEveryBlockIsAModule) {
  const Backbone net = backbone_of("vgg13_bn");
  EXPECT_EQ(ends_of(net, {}), run(1, 0, 1) + run(2, 0, 1) + run(3, 0, 1) + run(4, 0, 1) + run(5, 0, 0));
  EXPECT_EQ(ends_of(net, {}), ends_of(net, {.modules = 10}));
  EXPECT_EQ(cut_into_modules(net, {.modules = 9}),
            cut_into_modules(net, {.modules = 9, .balance = "uniform"}));
}

TEST(Partition, OneModuleIsTheWholeNetwork) {
  for (const char* balance : {"table", "uniform", "cost"})
    EXPECT_EQ(ends_of(backbone_of("resnet32"), {.modules = 1, .balance = balance}), "") << balance;
}

TEST(Partition, AutoMakesEveryBlockAModuleAndLeavesTheStemWithTheFirst) {
  for (const char* name : {"resnet8", "resnet32", "resnet110"}) {
    const Backbone net = backbone_of(name);
    const auto every_block = static_cast<std::int64_t>(net.blocks.size()) - 1;
    EXPECT_EQ(cut_into_modules(net, {}), cut_into_modules(net, {.modules = every_block})) << name;
    EXPECT_EQ(net.blocks[cut_into_modules(net, {}).front()].id, (BlockId{1, 0})) << name;
  }
}

// Sums of `costs` over the parts that `ends` cut.
std::vector<double> part_sums(const std::vector<double>& costs, const std::vector<std::int64_t>& ends) {
  std::vector<double> sums(ends.size() + 1, 0.0);
  std::size_t part = 0;
  for (std::size_t i = 0; i < costs.size(); ++i) {
    sums[part] += costs[i];
    if (part < ends.size() && static_cast<std::int64_t>(i) == ends[part]) ++part;
  }
  return sums;
}

TEST(Partition, UniformModulesDifferByOneBlockAtMostTheStemNotCounted) {
  const Backbone net = backbone_of("resnet32");
  for (std::int64_t modules = 1; modules <= 15; ++modules) {
    std::vector<double> blocks(net.blocks.size(), 1.0);
    blocks[0] = 0.0;
    const auto sizes = part_sums(blocks, cut_into_modules(net, {.modules = modules, .balance = "uniform"}));
    EXPECT_EQ(sizes.size(), static_cast<std::size_t>(modules));
    const auto [least, most] = std::minmax_element(sizes.begin(), sizes.end());
    EXPECT_LE(*most - *least, 1.0) << modules << " modules";
  }
}

TEST(Partition, TableFallsBackToUniformWhereNothingIsPublished) {
  const Backbone published = backbone_of("resnet32");
  EXPECT_EQ(ends_of(published, {.modules = 5}), ends_of(published, {.modules = 5, .balance = "uniform"}));
  const Backbone uneven = backbone_of("resnet110");
  EXPECT_NE(ends_of(uneven, {.modules = 4}), ends_of(uneven, {.modules = 4, .balance = "uniform"}));
  const Backbone unpublished = backbone_of("resnet20");
  EXPECT_EQ(ends_of(unpublished, {.modules = 4}), ends_of(unpublished, {.modules = 4, .balance = "uniform"}));
}

// Calls `see` with every way to cut `pieces` into `parts`.
void every_cut(std::int64_t pieces, std::int64_t parts, std::vector<std::int64_t> ends,
               const std::function<void(const std::vector<std::int64_t>&)>& see) {
  if (parts == 1) return see(ends);
  for (std::int64_t end = ends.empty() ? 0 : ends.back() + 1; end <= pieces - parts; ++end) {
    ends.push_back(end);
    every_cut(pieces, parts - 1, ends, see);
    ends.pop_back();
  }
}

std::pair<double, double> score(const std::vector<double>& costs, const std::vector<std::int64_t>& ends) {
  const std::vector<double> sums = part_sums(costs, ends);
  double squares = 0;
  for (const double sum : sums) squares += sum * sum;
  return {*std::max_element(sums.begin(), sums.end()), squares};
}

std::pair<double, double> best_score(const std::vector<double>& costs, std::int64_t parts) {
  std::pair<double, double> best{INFINITY, INFINITY};
  every_cut(static_cast<std::int64_t>(costs.size()), parts, {},
            [&](const std::vector<std::int64_t>& ends) { best = std::min(best, score(costs, ends)); });
  return best;
}

TEST(Partition, CostBalancesTheMultiplyAdds) {
  const Backbone net = backbone_of("resnet20");
  std::vector<double> costs;
  for (const BlockSpec& block : net.blocks) costs.push_back(static_cast<double>(block.multiply_adds));
  for (std::int64_t modules = 1; modules <= 10; ++modules) {
    const auto ends = cut_into_modules(net, {.modules = modules, .balance = "cost"});
    EXPECT_EQ(score(costs, ends).first, best_score(costs, modules).first) << modules << " modules";
  }
}

TEST(BalancedCut, IsTheBestOfAllCuts) {
  std::mt19937 random(3);  // whole numbers, so that sums are exact
  for (int trial = 0; trial < 400; ++trial) {
    std::vector<double> costs(1 + random() % 10);
    const unsigned largest = 2 + random() % 12;
    for (double& cost : costs) cost = random() % largest;
    for (std::int64_t parts = 1; parts <= static_cast<std::int64_t>(costs.size()); ++parts) {
      const auto ends = balanced_cut(costs, parts);
      ASSERT_EQ(ends.size(), static_cast<std::size_t>(parts - 1));
      ASSERT_EQ(score(costs, ends), best_score(costs, parts))
          << testing::PrintToString(costs) << " in " << parts << " cut after "
          << testing::PrintToString(ends);
    }
  }
}

TEST(BalancedCut, FractionsAreCutAsWellAsWholeNumbers) {
  std::mt19937 random(4);
  std::uniform_real_distribution<double> cost(0.0, 1.0);
  for (int trial = 0; trial < 100; ++trial) {
    std::vector<double> costs(9);
    for (double& c : costs) c = cost(random);
    for (std::int64_t parts = 1; parts <= 9; ++parts) {
      const auto [largest, squares] = score(costs, balanced_cut(costs, parts));
      const auto [best_largest, best_squares] = best_score(costs, parts);
      EXPECT_NEAR(largest, best_largest, 1e-12);
      EXPECT_NEAR(squares, best_squares, 1e-12);
    }
  }
}

TEST(Partition, ExplicitEndsAreTaken) {
  const Backbone net = backbone_of("resnet32");
  EXPECT_EQ(ends_of(net, {.ends = {{1, 3}, {3, 3}}}), "[1,3][3,3]");
  EXPECT_EQ(ends_of(net, {.modules = 3, .ends = {{0, 0}, {2, 0}}}), "[0,0][2,0]");
  EXPECT_EQ(ends_of(net, {.modules = 2, .ends = {{1, 3}}, .balance = "cost"}), "[1,3]");
}

struct CutRefusal {
  const char* name;
  PartitionConfig config;
  std::vector<std::string> says;
};
void PrintTo(const CutRefusal& refusal, std::ostream* out) {
  *out << refusal.name;
}

class PartitionRefuses : public testing::TestWithParam<CutRefusal> {};
TEST_P(PartitionRefuses, WithOneLineThatSaysWhatIsWrong) {
  try {
    cut_into_modules(backbone_of("resnet32"), GetParam().config);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::config);
    EXPECT_THAT(error.what(), testing::Not(HasSubstr("\n")));
    for (const std::string& part : GetParam().says) EXPECT_THAT(error.what(), HasSubstr(part));
  }
}
INSTANTIATE_TEST_SUITE_P(
    Partition, PartitionRefuses,
    testing::Values(
        CutRefusal{"MoreModulesThanBlocks", {.modules = 17}, {"partition.modules", "16", "17"}},
        CutRefusal{"MoreModulesThanBlocksByCost",
                   {.modules = 17, .balance = "cost"},
                   {"partition.modules", "16", "17"}},
        CutRefusal{"EndsOutOfOrder", {.ends = {{2, 1}, {1, 4}}}, {"partition.ends", "[1,4]", "[2,1]"}},
        CutRefusal{"AnEndTwice", {.ends = {{2, 1}, {2, 1}}}, {"partition.ends", "[2,1]"}},
        CutRefusal{"AnUnknownBlock", {.ends = {{2, 5}}}, {"partition.ends", "[2,5]", "[3,4]"}},
        CutRefusal{"AnUnknownStage", {.ends = {{4, 0}}}, {"[4,0]"}},
        CutRefusal{"AnEndThatIsNoPair", {.ends = {{2}}}, {"partition.ends", "[2]"}},
        CutRefusal{"TheLastBlockAsAnEnd", {.ends = {{2, 1}, {3, 4}}}, {"partition.ends", "[3,4]"}},
        CutRefusal{"ModulesThatContradictTheEnds",
                   {.modules = 4, .ends = {{1, 4}, {2, 4}}},
                   {"partition.modules", "3", "4"}}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(BalancedCut, FewerPiecesThanPartsAreRefused) {
  EXPECT_THROW(balanced_cut({1.0, 2.0}, 3), Error);
  EXPECT_THROW(balanced_cut({1.0, 2.0}, 0), Error);
  EXPECT_THROW(balanced_cut({}, 1), Error);
}

}  // namespace
}  // namespace lamina
