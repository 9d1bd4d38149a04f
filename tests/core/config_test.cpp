#include "lamina/core/config.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <ostream>

#include "core/config_errors.hpp"
#include "lamina/core/files.hpp"
#include "lamina/core/process.hpp"

namespace lamina {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct PipelineConfig {
  IntOrAuto threads;
  IntOrList stages = 1;
  void visit(FieldVisitor& v) {
    v.field("threads", &threads, "threads of a worker", at_least(1));
    v.field("stages", &stages, "how many, or which module each begins with", at_least(0));
  }
};

struct TrainConfig {
  std::int64_t epochs = 10;
  double lr = 0.8;
  bool nesterov = true;
  PipelineConfig pipeline;
  void visit(FieldVisitor& v) {
    v.field("epochs", &epochs, "passes over the training set", at_least(1));
    v.field("lr", &lr, "peak learning rate", between(0, 10));
    v.field("nesterov", &nesterov, "");
    v.section("pipeline", pipeline);
  }
};

struct RunConfig {
  std::string out = "run";
  std::string framework = "dgl";
  IntLists ends;
  TrainConfig train;
  void visit(FieldVisitor& v) {
    v.field("out", &out, "where results go");
    v.field("framework", &framework, "", one_of({"dgl", "infopro", "e2e"}));
    v.field("ends", &ends, "");
    v.section("train", train);
  }
};

struct Filled {
  RunConfig config;
  std::string errors;
};

Filled fill(ConfigText text) {
  Filled result;
  Problems problems;
  text.fill(result.config, problems);
  result.errors = errors([&] { text.raise(problems); });
  return result;
}

Filled fill(const std::string& text) {
  return fill(ConfigText::from_text(text, "c.yaml"));
}

TEST(Config, FillsEveryTypeOfField) {
  const Filled read = fill(R"(
out: results/2024 run
framework: e2e
ends: [[1, 0], [1, 2]]
train:
  epochs: 160
  lr: 1e-3
  nesterov: false
  pipeline: {threads: 4, stages: [0, 3, 5]}
)");
  EXPECT_EQ(read.errors, "");
  EXPECT_EQ(read.config.out, "results/2024 run");
  EXPECT_EQ(read.config.framework, "e2e");
  EXPECT_EQ(read.config.ends, (IntLists{{1, 0}, {1, 2}}));
  EXPECT_EQ(read.config.train.epochs, 160);
  EXPECT_EQ(read.config.train.lr, 1e-3);
  EXPECT_FALSE(read.config.train.nesterov);
  EXPECT_EQ(read.config.train.pipeline.threads, 4);
  EXPECT_EQ(read.config.train.pipeline.stages, IntOrList(std::vector<std::int64_t>{0, 3, 5}));
}

TEST(Config, KeepsDefaultsWhereTheTextSaysNothing) {
  for (const char* text : {"", "train:\n", "train: {}\n", "train: {pipeline: }\n", "# only a comment\n"}) {
    const Filled read = fill(text);
    EXPECT_EQ(read.errors, "") << text;
    EXPECT_EQ(read.config.train.epochs, 10) << text;
    EXPECT_EQ(read.config.train.pipeline.threads, std::nullopt) << text;
  }
}

TEST(Config, AcceptsListsInBlockStyle) {
  EXPECT_EQ(fill("ends:\n  - [1, 0]\n  -\n    - 2\n").config.ends, (IntLists{{1, 0}, {2}}));
}

struct Mistake {
  const char* text;
  const char* message;
};

void PrintTo(const Mistake& mistake, std::ostream* out) {
  *out << mistake.text;
}

class ConfigMistake : public testing::TestWithParam<Mistake> {};

TEST_P(ConfigMistake, IsNamedWithItsPlaceAndWhatWasExpected) {
  const Filled read = fill(GetParam().text);
  EXPECT_EQ(read.errors, GetParam().message);
  // The field keeps its default.
  RunConfig defaults;
  RunConfig config = read.config;
  EXPECT_EQ(to_yaml(list_fields(config)), to_yaml(list_fields(defaults)));
}

INSTANTIATE_TEST_SUITE_P(
    , ConfigMistake,
    testing::Values(
        Mistake{"train:\n  epochs: abc\n",
                "c.yaml:2: train.epochs: expected an integer of at least 1, found 'abc'"},
        Mistake{"train: {epochs: 0}", "c.yaml:1: train.epochs: expected an integer of at least 1, found '0'"},
        Mistake{"train: {epochs: 1.5}",
                "c.yaml:1: train.epochs: expected an integer of at least 1, found '1.5'"},
        Mistake{"train: {epochs: 99999999999999999999}",
                "c.yaml:1: train.epochs: expected an integer of at least 1, found '99999999999999999999'"},
        Mistake{"train: {epochs: }",
                "c.yaml:1: train.epochs: expected an integer of at least 1, found nothing"},
        Mistake{"train: {epochs: {a: 1}}",
                "c.yaml:1: train.epochs: expected an integer of at least 1, found a section"},
        Mistake{"train: {lr: 11}", "c.yaml:1: train.lr: expected a number between 0 and 10, found '11'"},
        Mistake{"train: {lr: nan}", "c.yaml:1: train.lr: expected a number between 0 and 10, found 'nan'"},
        Mistake{"train: {nesterov: maybe}",
                "c.yaml:1: train.nesterov: expected true or false, found 'maybe'"},
        Mistake{"out: [1, x]", "c.yaml:1: out: expected a text, found ['1', 'x']"},
        Mistake{"framework: dlg",
                "c.yaml:1: framework: expected one of dgl, infopro, e2e, found 'dlg'; did you mean \"dgl\"?"},
        Mistake{"framework: whatever",
                "c.yaml:1: framework: expected one of dgl, infopro, e2e, found 'whatever'"},
        Mistake{"ends: [1, 2]", "c.yaml:1: ends: expected a list of lists of integers, found ['1', '2']"},
        Mistake{"ends: &a [*a]", "c.yaml:1: ends: expected a list of lists of integers, found [[[...]]]"},
        Mistake{"train: {pipeline: {threads: many}}",
                "c.yaml:1: train.pipeline.threads: expected an integer of at least 1, or auto, found 'many'"},
        Mistake{"train: {pipeline: {stages: [0, -1]}}",
                "c.yaml:1: train.pipeline.stages: expected an integer of at least 0, or a list of such, "
                "found ['0', '-1']"},
        Mistake{"train: 3", "c.yaml:1: train: expected a section, found '3'"},
        Mistake{"train: [3]", "c.yaml:1: train: expected a section, found ['3']"},
        Mistake{"\ntrain:\n  epoch: 3\n", "c.yaml:3: train.epoch: unknown key; did you mean \"epochs\"?"},
        Mistake{"trian: {epochs: 3}", "c.yaml:1: trian: unknown key; did you mean \"train\"?"},
        Mistake{"elephant: 3", "c.yaml:1: elephant: unknown key"},
        Mistake{"train.epochs: 3", "c.yaml:1: train.epochs: unknown key"},
        Mistake{"include: other.yaml", "c.yaml:1: include: unknown key"}),
    [](const auto& mistake) { return std::to_string(mistake.index); });

TEST(Config, NamesAllProblemsAtOnceInTheOrderOfTheFile) {
  ConfigText text =
      ConfigText::from_text("train:\n  pipeline:\n    thread: 2\n  epochs: 0\nfromework: dgl\n", "c.yaml");
  text.set("train.lr=-1");
  RunConfig config;
  Problems problems;
  text.fill(config, problems);
  problems.add("out",
               "expected a directory that does not exist yet, found 'run'");  // nowhere set: the default
  problems.add("train", "expected something else");
  EXPECT_EQ(errors([&] { text.raise(problems); }),
            "c.yaml:1: train: expected something else\n"
            "c.yaml:3: train.pipeline.thread: unknown key; did you mean \"threads\"?\n"
            "c.yaml:4: train.epochs: expected an integer of at least 1, found '0'\n"
            "c.yaml:5: fromework: unknown key; did you mean \"framework\"?\n"
            "--set: train.lr: expected a number between 0 and 10, found '-1'\n"
            "default: out: expected a directory that does not exist yet, found 'run'");
}

TEST(Config, RaisesNothingWithoutProblems) {
  ConfigText::from_text("", "c.yaml").raise(Problems());
}

TEST(Config, OverridesWinOverTheFileAndOverEarlierOnes) {
  ConfigText text = ConfigText::from_text("out: file\ntrain: {epochs: 3, lr: 0.1}\n", "c.yaml");
  text.set("train.epochs=4");
  text.set("train.epochs=5");
  text.set("out=a=b");
  text.set("train.pipeline.stages=[0, 2]");
  EXPECT_EQ(text.origin("out"), "--set");
  EXPECT_EQ(text.origin("train.epochs"), "--set");
  EXPECT_EQ(text.origin("train.lr"), "c.yaml:2");
  EXPECT_EQ(text.origin("train.nesterov"), "default");
  EXPECT_EQ(text.origin("train.pipeline.stages"), "--set");
  const Filled read = fill(std::move(text));
  EXPECT_EQ(read.errors, "");
  EXPECT_EQ(read.config.out, "a=b");
  EXPECT_EQ(read.config.train.epochs, 5);
  EXPECT_EQ(read.config.train.lr, 0.1) << "what an override does not name stays";
  EXPECT_EQ(read.config.train.pipeline.stages, IntOrList(std::vector<std::int64_t>{0, 2}));
}

TEST(Config, OverridesCreateSectionsAlsoInPlaceOfAValue) {
  ConfigText text = ConfigText::from_text("train: none\n", "c.yaml");
  text.set("train.pipeline.threads=2");
  const Filled read = fill(std::move(text));
  EXPECT_EQ(read.errors, "");
  EXPECT_EQ(read.config.train.pipeline.threads, 2);
}

TEST(Config, OverridesOfASectionLeaveItsOtherKeys) {
  ConfigText text = ConfigText::from_text("train: {epochs: 3, lr: 0.1}\n", "c.yaml");
  text.set("train={epochs: 4}");
  const Filled read = fill(std::move(text));
  EXPECT_EQ(read.config.train.epochs, 4);
  EXPECT_EQ(read.config.train.lr, 0.1);
}

TEST(Config, OverridesWithUnknownKeysAreProblems) {
  ConfigText text = ConfigText::from_text("", "c.yaml");
  text.set("train.epoch=4");
  EXPECT_EQ(fill(std::move(text)).errors, "--set: train.epoch: unknown key; did you mean \"epochs\"?");
}

TEST(Config, RefusesOverridesThatAssignNothing) {
  ConfigText text = ConfigText::from_text("", "c.yaml");
  for (const char* assignment : {"train.epochs", "=3", ".epochs=3", "train.=3", "train..epochs=3"}) {
    EXPECT_THAT(errors([&] { text.set(assignment); }),
                HasSubstr(fmt::format("expected section.key=value, found '{}'", assignment)));
  }
  EXPECT_THAT(errors([&] { text.set("out=[1"); }), HasSubstr("--set out=[1: expected YAML"));
}

class BrokenYaml : public testing::TestWithParam<Mistake> {};

TEST_P(BrokenYaml, IsRefusedWithItsLine) {
  EXPECT_THAT(errors([] { ConfigText::from_text(GetParam().text, "c.yaml"); }),
              testing::StartsWith(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    , BrokenYaml,
    testing::Values(Mistake{"a: 1\nb: [1, 2\n", "c.yaml:"},
                    Mistake{"a: 1\n\tb: 2\n", "c.yaml:2: expected YAML"},
                    Mistake{"a: *nobody\n", "c.yaml:1: expected YAML"},
                    Mistake{"a: 1\n---\nb: 2\n", "c.yaml:2: expected one YAML document, found a second"},
                    Mistake{"&a, b", "c.yaml:1: expected one YAML document, found a second"},
                    Mistake{"just words\n", "c.yaml:1: expected keys with values, found 'just words'"},
                    Mistake{"- a\n- b\n", "c.yaml:1: expected keys with values, found ['a', 'b']"},
                    Mistake{"a: 1\nb: {c: 2, c: 2}\n",
                            "c.yaml:2: c: expected the key once, found it before at c.yaml:2"},
                    Mistake{"[a]: 3\n", "c.yaml:1: expected a word as key, found ['a']"},
                    Mistake{"a: &a\n  b: *a\n", "c.yaml:1: expected sections at most 8 deep"}),
    [](const auto& mistake) { return std::to_string(mistake.index); });

TEST(Config, NamesTheFileThatItReads) {
  const std::filesystem::path path =
      std::filesystem::path(testing::TempDir()) / fmt::format("lamina_config_{}.yaml", process_id());
  EXPECT_THAT(errors([&] { ConfigText::from_files({path}); }),
              testing::AllOf(HasSubstr(path.string()), HasSubstr("No such file or directory")));
  write_file_atomically(path, "out: here\n\ntrain: {epochs: 2}\n");
  EXPECT_EQ(ConfigText::from_files({path}).origin("train.epochs"), path.string() + ":3");
  std::filesystem::remove(path);
}

TEST(Config, ListsFieldsInTheOrderOfTheStruct) {
  RunConfig config;
  std::vector<std::string> keys;
  for (const EffectiveField& field : list_fields(config)) keys.push_back(field.key);
  EXPECT_THAT(keys, ElementsAre("out", "framework", "ends", "train.epochs", "train.lr", "train.nesterov",
                                "train.pipeline.threads", "train.pipeline.stages"));
  EXPECT_EQ(list_fields(config).front().help, "where results go");
}

TEST(Nearest, FindsMisspellingsAndNothingElse) {
  const std::vector<std::string> known = {"epochs", "batch", "seed", "lr", "max_steps"};
  EXPECT_EQ(nearest("epoch", known), "epochs");
  EXPECT_EQ(nearest("btach", known), "batch") << "swapped letters";
  EXPECT_EQ(nearest("max-step", known), "max_steps");
  EXPECT_EQ(nearest("sed", known), "seed");
  EXPECT_EQ(nearest("x", known), std::nullopt);
  EXPECT_EQ(nearest("momentum", known), std::nullopt);
  EXPECT_EQ(nearest("", known), std::nullopt);
  EXPECT_EQ(nearest("epoch", {}), std::nullopt);
}

TEST(Nearest, PrefersTheNearer) {
  EXPECT_EQ(nearest("stage", {"stagger", "stages", "stag"}), "stages");
}

}  // namespace
}  // namespace lamina
