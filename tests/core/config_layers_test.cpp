// Texts over texts, files over files, and files that include files.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/config_errors.hpp"
#include "lamina/core/config.hpp"
#include "lamina/core/files.hpp"
#include "lamina/core/process.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;

using testing::HasSubstr;
using testing::StartsWith;

struct Windows {
  std::int64_t window = 3;
  double momentum = 0.995;
  void visit(FieldVisitor& v) {
    v.field("window", &window, "", at_least(1));
    v.field("momentum", &momentum, "", between(0, 1));
  }
};

struct Method {
  std::string framework = "dgl";
  bool has_windows = false;
  Windows windows;
  WordOrLists leaps = std::string("auto");
  void visit(FieldVisitor& v) {
    v.field("framework", &framework, "");
    v.optional_section("windows", windows, has_windows);
    v.field("leaps", &leaps, "", one_of({"auto", "next"}));
  }
};

struct LayeredConfig {
  std::string out = "run";
  IntLists ends;
  Method method;
  void visit(FieldVisitor& v) {
    v.field("out", &out, "");
    v.field("ends", &ends, "");
    v.section("method", method);
  }
};

LayeredConfig filled(ConfigText text) {
  LayeredConfig run;
  Problems problems;
  text.fill(run, problems);
  text.raise(problems);
  return run;
}

/// What is read of texts laid over one another, called 0, 1, ...
LayeredConfig layered(const std::vector<std::string>& texts) {
  ConfigText all = ConfigText::from_text("", "none");
  int number = 0;
  for (const std::string& text : texts) all.lay(ConfigText::from_text(text, std::to_string(number++)));
  return filled(std::move(all));
}

TEST(ConfigLayers, LaterTextsWinKeyByKey) {
  const LayeredConfig run =
      layered({"out: a\nmethod: {framework: infopro, leaps: next}\nends: [[1, 0], [2, 0]]\n",
               "method: {framework: greedy}\nends: [[3, 0]]\n", "method:\n"});
  EXPECT_EQ(run.out, "a");
  EXPECT_EQ(run.method.framework, "greedy");
  EXPECT_EQ(run.method.leaps, WordOrLists(std::string("next")));
  EXPECT_EQ(run.ends, (IntLists{{3, 0}})) << "a list takes another's place whole";
}

TEST(ConfigLayers, AListTakesTheWordsPlaceAndTheOtherWayRound) {
  const WordOrLists lists = std::vector<IntLists>{{{2, 0}, {3, 0}}, {{3, 0}}};
  EXPECT_EQ(layered({"method: {leaps: next}", "method: {leaps: [[[2, 0], [3, 0]], [[3, 0]]]}"}).method.leaps,
            lists);
  EXPECT_EQ(layered({"method: {leaps: [[[2, 0]]]}", "method: {leaps: auto}"}).method.leaps,
            WordOrLists(std::string("auto")));
}

TEST(ConfigLayers, AnAliasKeepsItsValueWhenItsAnchorIsCovered) {
  const LayeredConfig run = layered({"out: &name a\nmethod: {framework: *name}\n", "out: b"});
  EXPECT_EQ(run.out, "b");
  EXPECT_EQ(run.method.framework, "a");
}

TEST(ConfigLayers, NoneTakesASectionAwayAndASectionBringsItBackWithDefaults) {
  const std::string with = "method: {windows: {window: 5, momentum: 0.5}}";
  const std::string none = "method: {windows: none}";
  EXPECT_TRUE(layered({with}).method.has_windows);
  EXPECT_FALSE(layered({with, none}).method.has_windows);
  const LayeredConfig again = layered({with, none, "method: {windows: {window: 2}}"});
  EXPECT_TRUE(again.method.has_windows);
  EXPECT_EQ(again.method.windows.window, 2);
  EXPECT_EQ(again.method.windows.momentum, 0.995) << "what none took away does not come back";
  EXPECT_TRUE(layered({none, "method: {windows: }"}).method.has_windows);
  EXPECT_TRUE(layered({none, "method: {windows: {}}"}).method.has_windows);
  EXPECT_EQ(layered({with, "method: {windows: {}}"}).method.windows.window, 5);
}

TEST(ConfigLayers, ASectionThatIsNotOptionalCannotBeNoneUnlessReplaced) {
  EXPECT_EQ(errors([] { layered({"method: {leaps: next}", "\nmethod: none"}); }),
            "1:2: method: expected a section, found 'none'");
  EXPECT_EQ(errors([] { layered({"method: {windows: 3}"}); }),
            "0:1: method.windows: expected a section, or none, found '3'");
  EXPECT_EQ(layered({"method: none", "method: {framework: e2e}"}).method.framework, "e2e");
}

TEST(ConfigLayers, OverridesTakeOptionalSectionsAwayAndMakeThem) {
  ConfigText text = ConfigText::from_text("method: {windows: {window: 5}}", "c.yaml");
  text.set("method.windows=none");
  text.set("method.windows.momentum=0.25");
  EXPECT_EQ(text.origin("method.windows.momentum"), "--set");
  EXPECT_EQ(text.origin("method.windows.window"), "default");
  const LayeredConfig run = filled(std::move(text));
  EXPECT_TRUE(run.method.has_windows);
  EXPECT_EQ(run.method.windows.window, 3);
  EXPECT_EQ(run.method.windows.momentum, 0.25);
}

TEST(ConfigLayers, ProblemsComeTextByTextInTheOrderOfTheirLines) {
  EXPECT_EQ(errors([] {
              layered({"method:\n  framwork: e2e\n\n\nouter: 1\n", "method: {leap: next}\nends: x\n"});
            }),
            "0:2: method.framwork: unknown key; did you mean \"framework\"?\n"
            "0:5: outer: unknown key\n"
            "1:1: method.leap: unknown key; did you mean \"leaps\"?\n"
            "1:2: ends: expected a list of lists of integers, found 'x'");
}

/// A folder of configuration files.
class ConfigFiles : public testing::Test {
 protected:
  ConfigFiles() : folder_(fs::path(testing::TempDir()) / fmt::format("lamina_layers_{}", process_id())) {
    make_directory(folder_ / "sub");
  }
  ~ConfigFiles() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) const {
    write_file_atomically(folder_ / name, text);
    return path(name);
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  fs::path folder_;
};

TEST_F(ConfigFiles, OfSeveralFilesTheLaterWinsAndEveryValueKnowsItsFile) {
  const std::string base = write("base.yaml", "out: base\nmethod:\n  framework: e2e\n  leaps: next\n");
  const std::string over = write("over.yaml", "\nmethod: {framework: greedy}\n");
  ConfigText text = ConfigText::from_files({base, over});
  text.set("out=mine");
  EXPECT_EQ(text.origin("method.framework"), over + ":2");
  EXPECT_EQ(text.origin("method.leaps"), base + ":4");
  EXPECT_EQ(text.origin("out"), "--set");
  EXPECT_EQ(text.origin("ends"), "default");
  EXPECT_EQ(filled(std::move(text)).method.framework, "greedy");
  EXPECT_EQ(filled(ConfigText::from_files({over, base})).method.framework, "e2e");
}

TEST_F(ConfigFiles, AnIncludedFileLiesBelowTheOneThatIncludesIt) {
  write("low.yaml", "out: low\nmethod: {framework: low, leaps: next}\n");
  write("sub/middle.yaml", "out: middle\nmethod: {framework: middle}\ninclude: ../low.yaml\n");
  const std::string top = write("top.yaml", "include: [sub/middle.yaml]\nout: top\n");
  ConfigText text = ConfigText::from_files({top});
  EXPECT_EQ(text.origin("out"), top + ":2");
  EXPECT_EQ(text.origin("method.framework"), path("sub/middle.yaml") + ":2");
  EXPECT_EQ(text.origin("method.leaps"), path("low.yaml") + ":2");
  const LayeredConfig run = filled(std::move(text));
  EXPECT_EQ(run.out, "top");
  EXPECT_EQ(run.method.framework, "middle");
  EXPECT_EQ(run.method.leaps, WordOrLists(std::string("next")));
}

TEST_F(ConfigFiles, OfIncludedFilesTheLaterWins) {
  write("a.yaml", "out: a\nmethod: {framework: a}\n");
  write("b.yaml", "out: b\n");
  const LayeredConfig run =
      filled(ConfigText::from_files({write("top.yaml", "include:\n  - a.yaml\n  - b.yaml\n")}));
  EXPECT_EQ(run.out, "b");
  EXPECT_EQ(run.method.framework, "a");
  EXPECT_EQ(filled(ConfigText::from_files({write("none.yaml", "include: []\n")})).out, "run");
}

TEST_F(ConfigFiles, AFileIncludedAgainDoesNotCoverWhatWasLaidOverIt) {
  write("base.yaml", "out: base\n");
  const std::string a = write("a.yaml", "include: base.yaml\nout: a\n");
  const std::string b = write("b.yaml", "include: sub/../base.yaml\nmethod: {framework: b}\n");
  EXPECT_EQ(filled(ConfigText::from_files({a, b})).out, "a");
  EXPECT_EQ(filled(ConfigText::from_files({write("c.yaml", "include: [a.yaml, b.yaml]\n")})).out, "a");
  EXPECT_EQ(filled(ConfigText::from_files({a, path("base.yaml")})).out, "base")
      << "named on the command line";
}

TEST_F(ConfigFiles, FilesThatIncludeOneAnotherAreNamed) {
  const std::string a = write("a.yaml", "out: a\ninclude: sub/b.yaml\n");
  const std::string b = write("sub/b.yaml", "include: ../a.yaml\n");
  EXPECT_EQ(
      errors([&] { ConfigText::from_files({a}); }),
      fmt::format("{1}:1: include: expected files that do not include one another, found {0} -> {1} -> {0}",
                  a, b));
  const std::string self = write("self.yaml", "include: self.yaml\n");
  EXPECT_EQ(
      errors([&] { ConfigText::from_files({self}); }),
      fmt::format("{0}:1: include: expected files that do not include one another, found {0} -> {0}", self));
}

TEST_F(ConfigFiles, FilesAreIncludedSoDeepAndNoDeeper) {
  const auto chain = [&](int last) {
    for (int i = 0; i < last; ++i) write(fmt::format("{}.yaml", i), fmt::format("include: {}.yaml\n", i + 1));
    write(fmt::format("{}.yaml", last), "out: deepest\n");
    return ConfigText::from_files({path("0.yaml")});
  };
  EXPECT_EQ(filled(chain(8)).out, "deepest");
  EXPECT_EQ(errors([&] { chain(9); }),
            fmt::format("{}:1: include: expected files included at most 8 deep, found {} deeper",
                        path("8.yaml"), path("9.yaml")));
}

TEST_F(ConfigFiles, WhatCannotBeIncludedIsNamedWithTheLineThatAsksForIt) {
  const auto message = [&](const std::string& text) {
    const std::string file = write("c.yaml", text);
    const std::string all = errors([&] { ConfigText::from_files({file}); });
    EXPECT_THAT(all, StartsWith(file + ":"));
    EXPECT_THAT(all, testing::Not(HasSubstr("\n")));
    return all.substr(file.size());
  };
  EXPECT_THAT(message("out: a\ninclude: nowhere.yaml\n"),
              testing::AllOf(StartsWith(":2: include: expected a configuration file: "),
                             HasSubstr(path("nowhere.yaml")), HasSubstr("No such file or directory")));
  EXPECT_THAT(message("include: sub\n"), HasSubstr("Is a directory"));
  EXPECT_EQ(message("include: {a: b}\n"), ":1: include: expected a file or a list of files, found a section");
  EXPECT_EQ(message("include:\n"), ":1: include: expected a file or a list of files, found nothing");
  EXPECT_EQ(message("include: [a, [b]]\n"),
            ":1: include: expected a file or a list of files, found ['a', ['b']]");
  EXPECT_EQ(message("include: a.yaml\ninclude: b.yaml\n"),
            fmt::format(":2: include: expected the key once, found it before at {}:1", path("c.yaml")));
}

TEST_F(ConfigFiles, FaultsOfAnIncludedFileBearItsName) {
  const std::string broken = write("sub/broken.yaml", "out: a\n\tb\n");
  EXPECT_THAT(errors([&] { ConfigText::from_files({write("top.yaml", "include: sub/broken.yaml\n")}); }),
              StartsWith(broken + ":2: expected YAML"));
  const std::string wrong = write("sub/wrong.yaml", "\nend: 3\n");
  const std::string top = write("top.yaml", "ends: x\ninclude: sub/wrong.yaml\n");
  EXPECT_EQ(errors([&] { filled(ConfigText::from_files({top})); }),
            wrong + ":2: end: unknown key; did you mean \"ends\"?\n" + top +
                ":1: ends: expected a list of lists of integers, found 'x'");
}

TEST_F(ConfigFiles, IncludeIsAWordOfFilesAlone) {
  write("other.yaml", "");
  const std::string inside = write("c.yaml", "method: {include: other.yaml}\n");
  EXPECT_EQ(errors([&] { filled(ConfigText::from_files({inside})); }),
            inside + ":1: method.include: unknown key");
  ConfigText text = ConfigText::from_text("", "c.yaml");
  text.set("include=other.yaml");
  EXPECT_EQ(errors([&] { filled(std::move(text)); }), "--set: include: unknown key");
}

}  // namespace
}  // namespace lamina
