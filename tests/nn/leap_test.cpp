#include "lamina/nn/leap.hpp"

#include <gmock/gmock.h>

#include "lamina/core/error.hpp"
#include "nn/examples.hpp"

namespace lamina {
namespace {

using testing::HasSubstr;
using LeapSets = std::vector<std::vector<std::int64_t>>;

std::string set_text(const Backbone& net, const std::vector<std::int64_t>& set) {
  std::string all;
  for (const std::int64_t block : set) all += text(net.blocks[block].id);
  return all;
}

LeapSets sets_of(const Backbone& net, std::int64_t modules, const WordOrLists& leaps = "auto",
                 bool release = false) {
  return leap_sets(net, cut_into_modules(net, {.modules = modules}), leaps, release);
}

// docs/method.md, Leaps, row by row: the modules from..to leap to these blocks.
struct Modules {
  std::size_t from, to;
  const char* set;
};
struct Row {
  const char* backbone;
  std::int64_t modules;
  bool release;
  std::vector<Modules> sets;
};
void PrintTo(const Row& row, std::ostream* out) {
  *out << row.backbone << " K=" << row.modules;
}

class LeapTable : public testing::TestWithParam<Row> {};
TEST_P(LeapTable, IsThePublishedOne) {
  const Backbone net = backbone_of(GetParam().backbone);
  const LeapSets sets = sets_of(net, GetParam().modules, "auto", GetParam().release);
  ASSERT_EQ(sets.size(), static_cast<std::size_t>(GetParam().modules) - 1);
  std::size_t seen = 0;
  for (const Modules& row : GetParam().sets)
    for (std::size_t i = row.from; i <= row.to; ++i, ++seen) EXPECT_EQ(set_text(net, sets[i]), row.set) << i;
  EXPECT_EQ(seen, sets.size());
}

INSTANTIATE_TEST_SUITE_P(Cifar, LeapTable,
                         testing::Values(Row{"resnet32",
                                             8,
                                             false,
                                             {{0, 1, "[2,0][3,0][3,2][3,4]"},
                                              {2, 2, "[2,0][3,0][3,3][3,4]"},
                                              {3, 4, "[3,0][3,2][3,3][3,4]"},
                                              {5, 5, "[3,2][3,3][3,4]"},
                                              {6, 6, "[3,3][3,4]"}}},
                                         Row{"cifar-resnet32",
                                             15,
                                             false,
                                             {{0, 1, "[2,0][3,0][3,2][3,4]"},
                                              {3, 3, "[2,0][3,0][3,2][3,4]"},
                                              {2, 2, "[2,0][3,0][3,3][3,4]"},
                                              {4, 4, "[2,0][3,0][3,3][3,4]"},
                                              {5, 9, "[3,0][3,2][3,3][3,4]"},
                                              {10, 10, "[3,1][3,2][3,4]"},
                                              {11, 11, "[3,2][3,3][3,4]"},
                                              {12, 12, "[3,3][3,4]"},
                                              {13, 13, "[3,4]"}}},
                                         Row{"resnet110",
                                             32,
                                             false,
                                             {{0, 10, "[2,0][3,0][3,2][3,17]"},
                                              {11, 20, "[3,0][3,2][3,3][3,17]"},
                                              {21, 21, "[3,0][3,3][3,4][3,17]"},
                                              {22, 25, "[3,8][3,17]"},
                                              {26, 27, "[3,14][3,17]"},
                                              {28, 28, "[3,15][3,17]"},
                                              {29, 29, "[3,16][3,17]"},
                                              {30, 30, "[3,17]"}}},
                                         Row{"resnet110",
                                             54,
                                             true,
                                             {{0, 17, "[2,0][3,0][3,2][3,17]"},
                                              {18, 34, "[3,0][3,2][3,3][3,17]"},
                                              {35, 35, "[3,0][3,3][3,4][3,17]"},
                                              {36, 42, "[3,8][3,17]"},
                                              {43, 46, "[3,14][3,17]"},
                                              {47, 48, "[3,15][3,17]"},
                                              {49, 51, "[3,16][3,17]"},
                                              {52, 52, "[3,17]"}}}));

INSTANTIATE_TEST_SUITE_P(Release, LeapTable,
                         testing::Values(Row{"resnet34",
                                             16,
                                             true,
                                             {{0, 2, "[2,0][2,1][3,0][4,0][4,2]"},
                                              {3, 6, "[2,1][3,0][4,0][4,2]"},
                                              {7, 12, "[3,1][4,0][4,1]"},
                                              {13, 13, "[4,1][4,1][4,2]"},
                                              {14, 14, "[4,1][4,2]"}}},
                                         Row{"resnet101",
                                             33,
                                             true,
                                             {{0, 2, "[2,0][3,0][4,0][4,2]"},
                                              {3, 6, "[3,0][4,0][4,1]"},
                                              {7, 29, "[4,0][4,1]"},
                                              {30, 31, "[4,1][4,2]"}}},
                                         Row{"resnet152",
                                             50,
                                             true,
                                             {{0, 2, "[2,0][3,0][4,0][4,2]"},
                                              {3, 10, "[3,0][4,0][4,1]"},
                                              {11, 46, "[4,0][4,1]"},
                                              {47, 48, "[4,1][4,2]"}}}));

TEST(Leap, CopiesOfThePublishedSetsHaveThePublishedNumberOfParameters) {
  struct Total {
    const char* backbone;
    std::int64_t modules, parameters;
  };
  for (const Total& total : {Total{"resnet32", 8, 1'589'952}, Total{"resnet32", 15, 3'165'376},
                             Total{"resnet110", 32, 6'756'672}, Total{"resnet110", 54, 11'439'744}}) {
    const Backbone net = backbone_of(total.backbone);
    std::int64_t parameters = 0;
    for (const auto& set : sets_of(net, total.modules))
      for (const std::int64_t block : set) parameters += net.blocks[block].parameters;
    EXPECT_EQ(parameters, total.parameters) << total.backbone << " K=" << total.modules;
  }
}

// Whether each leap takes what the one before it gives, and the first the output of block `end`.
bool shapes_follow(const Backbone& net, std::int64_t end, const std::vector<std::int64_t>& set) {
  for (std::int64_t before = end; const std::int64_t leap : set) {
    if (net.blocks[leap].in != net.blocks[before].out) return false;
    before = leap;
  }
  return true;
}

class LeapsOf : public testing::TestWithParam<const char*> {
 protected:
  // Calls `see` with every K, its cut, and its sets.
  template <class See>
  void for_every_cut(const WordOrLists& leaps, bool release, const See& see) const {
    for (const std::int64_t side : {32, 224}) {
      const Backbone net = backbone_of(GetParam(), side);
      for (const char* balance : {"table", "cost"})
        for (std::size_t modules = 1; modules <= net.blocks.size(); ++modules) {
          const auto ends =
              cut_into_modules(net, {.modules = static_cast<std::int64_t>(modules), .balance = balance});
          const LeapSets sets = leap_sets(net, ends, leaps, release);
          ASSERT_EQ(sets.size(), modules - 1);
          see(net, ends, sets);
        }
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Nets, LeapsOf,
                         testing::Values("resnet8", "resnet14", "resnet32", "resnet56", "resnet34",
                                         "resnet50", "resnext101_32x8d", "vgg13_bn", "vgg19_bn"));

TEST_P(LeapsOf, AutoChainsLaterBlocksUpToTheLastWithoutRepeats) {
  for_every_cut("auto", false, [](const Backbone& net, const auto& ends, const LeapSets& sets) {
    for (std::size_t i = 0; i < sets.size(); ++i) {
      const std::string where = net.name + " " + text(net.blocks[ends[i]].id) + ": " + set_text(net, sets[i]);
      ASSERT_FALSE(sets[i].empty()) << where;
      EXPECT_GT(sets[i].front(), ends[i]) << where;
      EXPECT_TRUE(std::is_sorted(sets[i].begin(), sets[i].end(), std::less_equal<>())) << where;
      EXPECT_EQ(sets[i].back(), static_cast<std::int64_t>(net.blocks.size()) - 1) << where;
      EXPECT_TRUE(shapes_follow(net, ends[i], sets[i])) << where;
    }
  });
}

TEST_P(LeapsOf, AutoTakesFourBlocksAtMostUnlessMoreChangeTheShape) {
  for_every_cut("auto", false, [](const Backbone& net, const auto& ends, const LeapSets& sets) {
    for (std::size_t i = 0; i < sets.size(); ++i) {
      std::size_t needed = 1;
      for (std::size_t b = ends[i] + 1; b + 1 < net.blocks.size(); ++b)
        needed += net.blocks[b].in != net.blocks[b].out;
      EXPECT_LE(sets[i].size(), std::max<std::size_t>(4, needed)) << net.name << " " << i;
    }
  });
}

TEST_P(LeapsOf, ShapesFollowUnderReleaseToo) {
  for_every_cut("auto", true, [](const Backbone& net, const auto& ends, const LeapSets& sets) {
    for (std::size_t i = 0; i < sets.size(); ++i) EXPECT_TRUE(shapes_follow(net, ends[i], sets[i])) << i;
  });
}

TEST_P(LeapsOf, NextIsTheFirstBlockOfTheNextModuleAlone) {
  for_every_cut("next", false, [](const Backbone& net, const auto& ends, const LeapSets& sets) {
    for (std::size_t i = 0; i < sets.size(); ++i) {
      EXPECT_EQ(sets[i], std::vector<std::int64_t>{ends[i] + 1});
      EXPECT_TRUE(shapes_follow(net, ends[i], sets[i]));
    }
  });
}

TEST(Leap, TheRuleGivesSetsLikeThePublishedOnes) {
  const auto set = [](const char* name, const BlockId& end) {
    const Backbone net = backbone_of(name);
    return set_text(net, leap_sets(net, {net.index_of(end)}, "auto", false).front());
  };
  EXPECT_EQ(set("resnet32", {1, 0}), "[2,0][3,0][3,2][3,4]");
  EXPECT_EQ(set("resnet32", {2, 1}), "[3,0][3,2][3,3][3,4]");
  EXPECT_EQ(set("resnet32", {3, 1}), "[3,2][3,3][3,4]");
  EXPECT_EQ(set("resnet32", {3, 3}), "[3,4]");
  EXPECT_EQ(set("resnet110", {1, 3}), "[2,0][3,0][3,2][3,17]");
  EXPECT_EQ(set("resnet110", {2, 6}), "[3,0][3,2][3,3][3,17]");
  EXPECT_EQ(set("resnet8", {1, 0}), "[2,0][3,0]");
  EXPECT_EQ(set("resnet34", {1, 0}), "[2,0][3,0][4,0][4,2]");
  EXPECT_EQ(set("resnet34", {3, 2}), "[4,0][4,1][4,2]");
  EXPECT_EQ(set("resnet101", {0, 0}), "[1,0][2,0][3,0][4,0][4,2]");
  EXPECT_EQ(set("vgg19_bn", {4, 0}), "[4,3][5,1][5,2][5,3]");
}

TEST(Leap, PublishedSetsAreForThePublishedCutAlone) {
  const Backbone net = backbone_of("resnet110");
  const auto uniform = cut_into_modules(net, {.modules = 32, .balance = "uniform"});
  ASSERT_NE(uniform, cut_into_modules(net, {.modules = 32}));
  EXPECT_NE(leap_sets(net, uniform, "auto", false), sets_of(net, 32));
  const Backbone other = backbone_of("resnet34");
  EXPECT_NE(sets_of(other, 16, "auto", false), sets_of(other, 16, "auto", true));
}

TEST(Leap, ListsAreTakenAsTheyAre) {
  const Backbone net = backbone_of("resnet32");
  const LeapSets sets = sets_of(
      net, 3, std::vector<IntLists>{{{2, 0}, {2, 3}, {3, 0}, {3, 1}, {3, 2}, {3, 4}}, {{3, 0}, {3, 4}}});
  EXPECT_EQ(set_text(net, sets[0]), "[2,0][2,3][3,0][3,1][3,2][3,4]");
  EXPECT_EQ(set_text(net, sets[1]), "[3,0][3,4]");
  EXPECT_TRUE(sets_of(net, 1, std::vector<IntLists>{}).empty());
}

// Lists for ResNet-32 in modules that end in [1,4], [2,4] and [3,4].
struct Refusal {
  const char* name;
  std::vector<IntLists> lists;
  std::vector<std::string> says;
};
void PrintTo(const Refusal& refusal, std::ostream* out) {
  *out << refusal.name;
}

const IntLists first_leaps{{2, 0}, {3, 0}, {3, 4}};
class LeapRefuses : public testing::TestWithParam<Refusal> {};
TEST_P(LeapRefuses, WithOneLineThatSaysWhatIsWrong) {
  try {
    sets_of(backbone_of("resnet32"), 3, GetParam().lists);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::config);
    EXPECT_THAT(error.what(), testing::Not(HasSubstr("\n")));
    EXPECT_THAT(error.what(), HasSubstr("method.mlaan.leaps"));
    for (const std::string& part : GetParam().says) EXPECT_THAT(error.what(), HasSubstr(part));
  }
}
INSTANTIATE_TEST_SUITE_P(
    Leap, LeapRefuses,
    testing::Values(
        Refusal{"TooFewLists", {first_leaps}, {"expected 2 lists", "found 1"}},
        Refusal{"ALamForTheLastModule",
                {first_leaps, {{3, 0}, {3, 4}}, {{3, 4}}},
                {"expected 2 lists", "the last, which has no LAM", "found 3"}},
        Refusal{"AnEmptyList", {first_leaps, {}}, {"module 1", "found none"}},
        Refusal{"AnUnknownBlock", {{{2, 0}, {3, 5}}, first_leaps}, {"module 0", "no block [3,5]", "[3,4]"}},
        Refusal{"ABlockThatIsNoPair",
                {{{2, 0}, {3, 0, 0}}, first_leaps},
                {"module 0", "[stage,block]", "[3,0,0]"}},
        Refusal{"TheModulesOwnBlock", {{{1, 4}, {2, 0}, {3, 0}, {3, 4}}, {{3, 4}}}, {"module 0", "[1,4]"}},
        Refusal{
            "AnEarlierBlock", {first_leaps, {{2, 1}, {3, 0}, {3, 4}}}, {"module 1", "[2,4]", "found [2,1]"}},
        Refusal{"AShapeThatTheModuleDoesNotGive",
                {first_leaps, {{3, 4}}},
                {"module 1", "[3,4] takes 64x8x8", "[2,4], which gives 32x16x16"}},
        Refusal{"AShapeThatTheLeapBeforeDoesNotGive",
                {{{2, 0}, {3, 4}}, {{3, 0}, {3, 4}}},
                {"module 0", "[3,4] takes 64x8x8", "[2,0], which gives 32x16x16"}},
        Refusal{"ASetThatEndsBeforeTheNetwork",
                {first_leaps, {{3, 0}, {3, 3}}},
                {"module 1", "last block [3,4]", "found [3,3]"}}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(Leap, OneModuleHasNoLam) {
  EXPECT_THROW(sets_of(backbone_of("resnet32"), 1, std::vector<IntLists>{{{3, 4}}}), Error);
}

}  // namespace
}  // namespace lamina
