#include "lamina/study/study_file.hpp"

#include <gmock/gmock.h>

#include "core/config_errors.hpp"
#include "lamina/core/files.hpp"
#include "temporary_directory.hpp"

namespace lamina {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class StudyFile : public ::testing::Test {
 protected:
  void SetUp() override {
    write("base.yaml", "model: {backbone: resnet8}\ndata: {name: synthetic}\ntrain: {batch: 16}\n");
    write("dgl.yaml", "method: {framework: dgl}\n");
    write("greedy.yaml", "method: {framework: greedy}\n");
  }

  std::string write(const std::string& name, const std::string& text) {
    const auto path = folder_.path() / name;
    write_file_atomically(path, text);
    return path;
  }
  Study study(const std::string& text, const std::vector<std::string>& sets = {}) {
    return read_study(write("study.yaml", text), sets);
  }
  std::string problem(const std::string& text) {
    return errors([&] { study(text); });
  }

  static std::vector<std::string> names(const Study& study) {
    std::vector<std::string> all;
    for (const StudyCell& cell : study.cells) all.push_back(cell.name);
    return all;
  }
  static std::string value(const StudyCell& cell, const std::string& key) {
    for (const auto& [known, value] : cell.config)
      if (known == key) return value;
    return "none";
  }

  TemporaryDirectory folder_;
};

constexpr const char* two_axes =
    "base: base.yaml\n"
    "axes:\n"
    "  method: [dgl.yaml, greedy.yaml]\n"
    "  pipeline.workers: [1, 2]\n"
    "run: bench --steps 5\n";

TEST_F(StudyFile, HasACellForEveryCombinationTheLastAxisFastest) {
  const Study found = study(two_axes);
  EXPECT_THAT(names(found),
              ElementsAre("dgl,workers=1", "dgl,workers=2", "greedy,workers=1", "greedy,workers=2"));
  EXPECT_EQ(found.command, "bench");
  EXPECT_THAT(found.cells[3].run, ElementsAre("bench", "--steps", "5"));
  EXPECT_EQ(value(found.cells[1], "method.framework"), "dgl");
  EXPECT_EQ(value(found.cells[1], "pipeline.workers"), "2");
  EXPECT_EQ(value(found.cells[1], "train.batch"), "16");
}

TEST_F(StudyFile, AGroupTiesKeysTogether) {
  const Study found = study(
      "base: base.yaml\n"
      "axes:\n"
      "  workers:\n"
      "    1: {pipeline: {workers: 1}, train: {batch: 64}}\n"
      "    2: {pipeline: {workers: 2, stages: 2}, train: {batch: 128}}\n"
      "run: bench\n");
  EXPECT_THAT(names(found), ElementsAre("workers=1", "workers=2"));
  EXPECT_EQ(value(found.cells[1], "train.batch"), "128");
  EXPECT_EQ(value(found.cells[1], "pipeline.stages"), "2");
}

TEST_F(StudyFile, AListIsAValueOfAKeyThatTakesLists) {
  const Study found = study(
      "base: [base.yaml, pipeline: {stages: 2}, partition: {modules: 4}]\n"
      "axes: {pipeline.replicas: [1, [1, 2]]}\n"
      "exclude: [{pipeline.replicas: 1}]\n"
      "adjust: [{when: {pipeline.replicas: [1, 2]}, repeats: 4}]\n"
      "run: bench\n");
  ASSERT_THAT(names(found), ElementsAre("replicas=-1-2-"));
  EXPECT_EQ(value(found.cells[0], "pipeline.replicas"), "[1, 2]");
  EXPECT_EQ(found.cells[0].repeats, 4);
}

TEST_F(StudyFile, LeavesOutWhatIsExcludedAndAdjustsTheRest) {
  const Study found =
      study(std::string(two_axes) +
            "repeats: 2\n"
            "exclude: [{method: dgl, pipeline.workers: 2}]\n"
            "adjust:\n"
            "  - {when: {method: [greedy, dgl], pipeline.workers: 1}, lay: {train: {lr: 0.5}}}\n"
            "  - {when: {method: greedy}, repeats: 5, arguments: --rounds 1}\n");
  EXPECT_THAT(names(found), ElementsAre("dgl,workers=1", "greedy,workers=1", "greedy,workers=2"));
  EXPECT_EQ(value(found.cells[0], "train.lr"), "0.5");
  EXPECT_EQ(value(found.cells[1], "train.lr"), "0.5");
  EXPECT_EQ(value(found.cells[2], "train.lr"), "0.1");
  EXPECT_EQ(found.cells[0].repeats, 2);
  EXPECT_EQ(found.cells[2].repeats, 5);
  EXPECT_THAT(found.cells[0].run, ElementsAre("bench", "--steps", "5"));
  EXPECT_THAT(found.cells[2].run, ElementsAre("bench", "--steps", "5", "--rounds", "1"));
}

TEST_F(StudyFile, ACellsConfigurationReadsBackToTheSame) {
  const StudyCell cell = study(two_axes).cells[3];
  write("cell.yaml", cell.yaml);
  const Study again = study("base: cell.yaml\naxes: {train.seed: [0]}\nrun: bench --steps 5\n");
  EXPECT_EQ(again.cells[0].config, cell.config);
  EXPECT_EQ(again.cells[0].digest, cell.digest);
}

TEST_F(StudyFile, TheDigestChangesWithWhatIsRunAndNotWithTheRepeats) {
  const std::string digest = study(two_axes).cells[0].digest;
  const auto changed = [&](const std::string& more) { return study(two_axes + more).cells[0].digest; };
  EXPECT_EQ(changed("repeats: 7\n"), digest);
  EXPECT_EQ(changed("title: Another\n"), digest);
  EXPECT_NE(changed("through: launch/run\n"), digest);
  EXPECT_NE(changed("adjust: [{when: {method: dgl}, arguments: --rounds 1}]\n"), digest);
  EXPECT_NE(changed("adjust: [{when: {method: dgl}, lay: {train: {lr: 0.5}}}]\n"), digest);
  EXPECT_NE(study(two_axes, {"train.lr=0.5"}).cells[0].digest, digest);
  write("base.yaml", "model: {backbone: resnet14}\ndata: {name: synthetic}\ntrain: {batch: 16}\n");
  EXPECT_NE(study(two_axes).cells[0].digest, digest);
}

TEST_F(StudyFile, AValueThatIsWrittenAsTheDefaultIsDoesNotChangeTheDigestNorDoesWhereTheDataLies) {
  const std::string digest = study(two_axes).cells[0].digest;
  EXPECT_EQ(study(two_axes, {"pipeline.buffers=2"}).cells[0].digest, digest);
  EXPECT_EQ(study(two_axes, {"data.root=/data"}).cells[0].digest, digest);
}

TEST_F(StudyFile, ARefusedConfigurationIsItsCellsErrorWithTheStudysLine) {
  const Study found = study(
      "base: base.yaml\n"
      "axes:\n"
      "  train.batch:\n"
      "    - 16\n"
      "    - none\n"
      "run: bench\n");
  EXPECT_THAT(found.cells[0].error, IsEmpty());
  EXPECT_THAT(found.cells[1].error, HasSubstr("study.yaml:5: train.batch"));
  EXPECT_THAT(found.cells[1].error, Not(HasSubstr("\n")));
  EXPECT_THAT(found.cells[1].yaml, IsEmpty());
  EXPECT_THAT(found.cells[1].digest, IsEmpty());
}

TEST_F(StudyFile, LabelsOfAGroupAreNamedWithoutTheirQuotes) {
  const Study found = study(
      "base: base.yaml\naxes: {method: {\"a: b\": dgl.yaml, \"yes\": greedy.yaml}}\nrun: bench\n"
      "exclude: [{method: \"a: b\"}]\nadjust: [{when: {method: \"yes\"}, repeats: 3}]\n");
  EXPECT_THAT(names(found), ElementsAre("yes"));
  EXPECT_EQ(found.cells[0].repeats, 3);
}

TEST_F(StudyFile, TheDigestIsAlsoOfTheFilesThatTheCommandLineNames) {
  const auto digest = [&](const char* content) {
    const std::string profile = write("profile.json", content);
    return study("base: base.yaml\naxes: {pipeline.workers: [1]}\nrun: simulate --profile " + profile + "\n")
        .cells[0]
        .digest;
  };
  EXPECT_EQ(digest("1"), digest("1"));
  EXPECT_NE(digest("1"), digest("2"));
}

TEST_F(StudyFile, WhatIsWrongWithTheStudyIsNamedWithItsLine) {
  const std::string axes = "axes: {pipeline.workers: [1, 2]}\n";
  EXPECT_THAT(problem("runs: bench\n" + axes),
              HasSubstr("study.yaml:1: runs: unknown key, did you mean run?"));
  EXPECT_THAT(problem(axes), HasSubstr("expected the key run"));
  EXPECT_THAT(problem("run: bench\n"), HasSubstr("expected the key axes"));
  EXPECT_THAT(problem("run: bench\naxes: {train.batch: []}\n"),
              HasSubstr("study.yaml:2: train.batch: expected one"));
  EXPECT_THAT(problem("run: bench\naxes: {train.batch: 8}\n"), HasSubstr("expected a list of values"));
  EXPECT_THAT(problem("run: bench\naxes: {train.batch: [8, 8]}\n"), HasSubstr("found 8 again"));
  EXPECT_THAT(problem("run: bench\n" + axes + "exclude: [{pipeline.worker: 1}]\n"),
              HasSubstr("study.yaml:3: expected one of the axes pipeline.workers"));
  EXPECT_THAT(problem("run: bench\n" + axes + "exclude: [{pipeline.workers: 3}]\n"),
              HasSubstr("expected one of 1, 2, found 3"));
  EXPECT_THAT(problem("run: bench\n" + axes + "exclude: [{pipeline.workers: [1, 2]}]\n"),
              HasSubstr("all excluded"));
  EXPECT_THAT(problem("run: bench\n" + axes + "repeats: 0\n"),
              HasSubstr("study.yaml:3: expected a number of 1"));
  EXPECT_THAT(problem("run: train\n" + axes + "to_accuracy: 93\n"), HasSubstr("expected an accuracy"));
  EXPECT_THAT(problem("run: bench\n" + axes + "through: a\nsubmit: b\n"), HasSubstr("found both"));
  EXPECT_THAT(problem("run: [\n"), HasSubstr("expected YAML"));
  EXPECT_THAT(
      problem("run: bnch\n" + axes),
      HasSubstr(
          "study.yaml:1: run: expected one of bench, simulate, train, found bnch; did you mean bench?"));
  EXPECT_THAT(problem("run: bench\n" + axes + "run: train\n"),
              HasSubstr("study.yaml:3: run: expected the key once, found it before at line 1"));
  EXPECT_THAT(problem("run: bench\naxes: {train.batch: [8], train.batch: [16]}\n"),
              HasSubstr("train.batch: expected the key once"));
  EXPECT_THAT(problem("run: bench\n" + axes + "exclude: [{pipeline.workers: 1, pipeline.workers: 2}]\n"),
              HasSubstr("pipeline.workers: expected the key once"));
  EXPECT_THAT(problem("run: train\naxes: {train.seed: [0, 1]}\nrepeats: 2\n"),
              HasSubstr("expected repeats: 1 with train.seed as an axis"));
  EXPECT_THAT(errors([] { read_study("nowhere.yaml", {}); }), HasSubstr("nowhere.yaml"));
}

}  // namespace
}  // namespace lamina
