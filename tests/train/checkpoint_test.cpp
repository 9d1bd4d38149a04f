#include "lamina/train/checkpoint.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "lamina/core/digest.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "lamina/train/run_config.hpp"
#include "temporary_directory.hpp"
#include "two_stages.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

using tests::config_yaml;
using tests::step;
using tests::two_stages;

Manifest save(const CheckpointWriter& writer, const std::vector<Stage>& stages, std::int64_t step) {
  Packet mark{.kind = PacketKind::checkpoint, .step = step};
  for (const Stage& stage : stages) mark.notes.push_back(writer.save(state_of(stage), mark));
  return writer.finish(mark);
}

// A directory with one checkpoint of a network trained for two steps.
class Checkpoint : public ::testing::Test {
 protected:
  void SetUp() override {
    step(stages_, 0);
    step(stages_, 1);
    manifest_ = save(writer_, stages_, 2);
  }

  fs::path path() const { return find_checkpoints(directory_.path()).back(); }

  void expect_refused(const std::string& why) {
    std::vector<Stage> other = two_stages(2);
    const at::Tensor before = other[0].parts()[0].module.block_parameters()[0].detach().clone();
    try {
      load_stage(path(), read_manifest(path()), other[0]);
      FAIL() << "it was loaded";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::checkpoint);
      EXPECT_THAT(e.what(), HasSubstr(why));
    }
    EXPECT_TRUE(at::equal(before, other[0].parts()[0].module.block_parameters()[0])) << "a part was loaded";
  }

  TemporaryDirectory directory_;
  CheckpointWriter writer_{directory_.path(), config_yaml(), 2};
  std::vector<Stage> stages_ = two_stages(1);
  Manifest manifest_;
};

TEST_F(Checkpoint, ALoadedNetworkGoesOnToTheSameBits) {
  std::vector<Stage> other = two_stages(2);
  for (Stage& stage : other) load_stage(path(), read_manifest(path()), stage);
  for (int i = 2; i < 5; ++i) {
    step(stages_, i);
    step(other, i);
  }
  EXPECT_EQ(save(writer_, stages_, 5).params_sha256,
            save(CheckpointWriter(directory_.path() / "other", config_yaml(), 2), other, 5).params_sha256);
}

TEST_F(Checkpoint, TheDigestTellsNetworksApart) {
  step(stages_, 2);
  EXPECT_NE(save(writer_, stages_, 3).params_sha256, manifest_.params_sha256);
}

TEST_F(Checkpoint, OnlyTheNewestAreKept) {
  save(writer_, stages_, 3);
  save(writer_, stages_, 4);
  const auto found = find_checkpoints(directory_.path());
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].filename(), "step-00000003");
  EXPECT_EQ(found[1].filename(), "step-00000004");
}

TEST(FindCheckpoints, AreInTheOrderOfTheirStepsHoweverManyDigitsTheseHave) {
  const TemporaryDirectory directory;
  for (const char* name :
       {"step-100000000", "step-99999500", "step-00000007", "step-best", "step-", "step-8.partial"})
    fs::create_directory(directory.path() / name);
  std::vector<std::string> found;
  for (const fs::path& path : find_checkpoints(directory.path())) found.push_back(path.filename());
  EXPECT_EQ(found, (std::vector<std::string>{"step-00000007", "step-99999500", "step-100000000"}));
}

// As whoever is killed meanwhile would leave it; there is much to delete, so that it is seen.
TEST_F(Checkpoint, OneThatIsBeingDeletedDoesNotCount) {
  const fs::path old = path();
  for (int i = 0; i < 2000; ++i) std::ofstream(old / std::to_string(i)) << i;
  save(CheckpointWriter{directory_.path(), config_yaml(), 9}, stages_, 3);
  std::jthread deletes([this] { remove_old_checkpoints(directory_.path(), 1); });
  bool is_whole = true;
  while (is_whole && fs::exists(old))
    for (const char* file : {"0", "1000", "1999", "manifest.json"})
      is_whole = is_whole && (fs::exists(old / file) || !fs::exists(old));
  EXPECT_TRUE(is_whole);
  deletes.join();
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_.path()), fs::directory_iterator()), 1);
}

TEST_F(Checkpoint, OneThatWasNeverFinishedDoesNotCount) {
  writer_.save(state_of(stages_[0]), {.kind = PacketKind::checkpoint, .step = 9});
  EXPECT_EQ(path().filename(), "step-00000002");
  remove_partial_checkpoints(directory_.path());
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_.path()), fs::directory_iterator()), 1);
}

TEST_F(Checkpoint, AStopLeavesACheckpointOfTheSameStepThatIsStillBeingWrittenAlone) {
  Packet mark{.kind = PacketKind::checkpoint, .step = 9};
  Packet stop{.kind = PacketKind::stop, .step = 9};
  for (const Stage& stage : stages_) mark.notes.push_back(writer_.save(state_of(stage), mark));
  stop.notes.push_back(writer_.save(state_of(stages_[0]), stop));
  const std::string saved = writer_.finish(mark).params_sha256;
  EXPECT_EQ(find_partial_checkpoints(directory_.path()).size(), 1u)
      << "the stop's file went with the other's";
  stop.notes.push_back(writer_.save(state_of(stages_[1]), stop));
  EXPECT_EQ(writer_.finish(stop).params_sha256, saved);
  EXPECT_EQ(path().filename(), "step-00000009");
  EXPECT_TRUE(find_partial_checkpoints(directory_.path()).empty());
  std::vector<Stage> other = two_stages(2);
  for (Stage& stage : other) EXPECT_NO_THROW(load_stage(path(), read_manifest(path()), stage));
}

// As where a host has not mounted the run's directory, and writes into one of its own.
TEST_F(Checkpoint, OneWhoseFilesAreNotAllThereIsNotCompletedAndCostsNoOlderOne) {
  const std::string file = "step-00000003.partial/module-001.safetensors";
  for (const auto& harm : std::vector<std::function<void(const fs::path&)>>{
           [](const fs::path& path) { fs::remove(path); },
           [](const fs::path& path) { fs::resize_file(path, 100); }}) {
    const CheckpointWriter writer(directory_.path(), config_yaml(), 1);
    Packet mark{.kind = PacketKind::checkpoint, .step = 3};
    for (const Stage& stage : stages_) mark.notes.push_back(writer.save(state_of(stage), mark));
    harm(directory_.path() / file);
    try {
      writer.finish(mark);
      FAIL() << "it was completed";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::storage);
      EXPECT_THAT(e.what(), AllOf(HasSubstr(file), HasSubstr("is OUT shared by all hosts?")));
    }
    EXPECT_EQ(path().filename(), "step-00000002");
  }
}

TEST_F(Checkpoint, AFlippedByteAnywhereIsNoticed) {
  const fs::path file = path() / "module-001.safetensors";
  const std::string whole = read_file(file);
  for (const std::size_t at : {std::size_t{0}, std::size_t{20}, whole.size() / 2, whole.size() - 1}) {
    std::string flipped = whole;
    flipped[at] ^= 1;
    std::ofstream(file, std::ios::binary) << flipped;
    expect_refused("SHA-256");
  }
}

TEST_F(Checkpoint, AFlippedByteInTheManifestIsNoticed) {
  const fs::path file = path() / "manifest.json";
  const std::string whole = read_file(file);
  for (std::size_t at = 0; at < whole.size(); at += 41) {
    std::string flipped = whole;
    flipped[at] ^= 1;
    std::ofstream(file, std::ios::binary) << flipped;
    // White space between the tokens is the one thing that says nothing.
    if (std::isspace(static_cast<unsigned char>(whole[at]))) continue;
    EXPECT_THROW(read_manifest(path()), Error) << at << ": " << whole.substr(at, 20);
  }
}

TEST_F(Checkpoint, ATruncatedOrMissingFileIsNoticed) {
  const fs::path file = path() / "module-001.safetensors";
  fs::resize_file(file, 100);
  expect_refused("found 100");
  fs::remove(file);
  expect_refused("found none");
}

TEST_F(Checkpoint, OneThatIsSetAsideCountsNoMoreAndIsNotDeleted) {
  save(writer_, stages_, 3);
  set_aside(path());
  EXPECT_EQ(path().filename(), "step-00000002");
  EXPECT_EQ(save(writer_, stages_, 3).step, 3) << "its place is free";
  set_aside(path());
  remove_partial_checkpoints(directory_.path());
  EXPECT_TRUE(fs::exists(directory_.path() / "step-00000003.damaged"));
}

TEST_F(Checkpoint, SaysHowOftenTheRunHadGoneBack) {
  EXPECT_EQ(read_manifest(path()).rollbacks, 0);
  save(CheckpointWriter(directory_.path(), config_yaml(), 2, 5), stages_, 3);
  EXPECT_EQ(read_manifest(path()).rollbacks, 5);
}

TEST_F(Checkpoint, OneOfTheFormatBeforeIsRead) {
  const fs::path file = path() / "manifest.json";
  nlohmann::json body = nlohmann::json::parse(read_file(file)).at("body");
  body.erase("rollbacks");
  body["format"] = 2;
  std::ofstream(file) << nlohmann::json{{"body", body}, {"sha256", sha256_hex(body.dump())}};
  EXPECT_EQ(read_manifest(path()).step, 2);
  EXPECT_EQ(read_manifest(path()).rollbacks, 0);
}

TEST_F(Checkpoint, AnotherRunsConfigurationIsRefused) {
  RunConfig config;
  EXPECT_NO_THROW(check_same_run(manifest_, list_fields(config)));
  config.train.max_steps = 7;
  config.pipeline.workers = 3;
  config.pipeline.transport = "mpi";
  EXPECT_NO_THROW(check_same_run(manifest_, list_fields(config)));
  config.model.backbone = "resnet20";
  try {
    check_same_run(manifest_, list_fields(config));
    FAIL() << "the backbone differs";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("expected model.backbone: resnet32, found resnet20"));
  }
}

TEST_F(Checkpoint, AFileWhereTheDirectoryShouldBeIsAStorageError) {
  const fs::path blocked = directory_.path() / "blocked";
  std::ofstream(blocked) << "a file";
  try {
    CheckpointWriter(blocked, config_yaml(), 1)
        .save(state_of(stages_[0]), {.kind = PacketKind::checkpoint, .step = 1});
    FAIL() << "it wrote below a file";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::storage);
    EXPECT_THAT(e.what(), HasSubstr(blocked.string()));
  }
}

}  // namespace
}  // namespace lamina
