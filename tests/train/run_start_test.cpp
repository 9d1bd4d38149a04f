#include "train/run_start.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <optional>
#include <thread>

#include "lamina/comm/inprocess.hpp"
#include "lamina/core/digest.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "temporary_directory.hpp"
#include "train/checkpoint_format.hpp"
#include "two_stages.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using tests::step;
using tests::two_stages;

// What each of two workers comes to.
struct Loaded {
  std::optional<LoadedStart> start;
  std::optional<Error> error;
  at::Tensor parameter;
};

// Three checkpoints, and two workers that load them, with a stage each.
class RunStarts : public ::testing::Test {
 protected:
  void SetUp() override {
    const CheckpointWriter writer(directory_.path(), tests::config_yaml(), 9);
    for (int i = 1; i <= 3; ++i) {
      step(stages_, i);
      Packet mark{.kind = PacketKind::checkpoint, .step = i};
      for (const Stage& stage : stages_) mark.notes.push_back(writer.save(state_of(stage), mark));
      writer.finish(mark);
      parameters_.push_back(first_parameter(stages_[0]));
    }
    starts_ = find_checkpoints(directory_.path());
    std::reverse(starts_.begin(), starts_.end());
  }

  static at::Tensor first_parameter(const Stage& stage) {
    return stage.parts()[0].module.block_parameters()[0].detach().clone();
  }

  std::vector<Loaded> load() const {
    std::vector<Loaded> loaded(2);
    const auto transports = make_inprocess_transports(2);
    std::vector<std::jthread> workers;
    for (int w = 0; w < 2; ++w)
      workers.emplace_back([&, w] {
        std::vector<Stage> stages;
        stages.push_back(std::move(two_stages(7)[static_cast<std::size_t>(w)]));
        try {
          loaded[w].start = load_newest_whole(starts_, stages, *transports[w], Seconds(60));
        } catch (const Error& error) {
          loaded[w].error = error;
        }
        loaded[w].parameter = first_parameter(stages[0]);
      });
    workers.clear();
    return loaded;
  }

  TemporaryDirectory directory_;
  std::vector<Stage> stages_ = two_stages(1);
  std::vector<at::Tensor> parameters_;  // of the first stage, by checkpoint
  std::vector<fs::path> starts_;        // the newest first
};

TEST_F(RunStarts, TheNewestIsLoadedWhereAllAreWhole) {
  for (const Loaded& loaded : load()) {
    ASSERT_TRUE(loaded.start);
    EXPECT_EQ(loaded.start->start.step(), 3);
    EXPECT_THAT(loaded.start->damaged, IsEmpty());
  }
}

TEST_F(RunStarts, WhatOneWorkerFindsDamagedNobodyTakes) {
  fs::resize_file(starts_[0] / "module-003.safetensors", 100);  // the second worker's
  fs::remove(starts_[1] / "manifest.json");
  const std::vector<Loaded> loaded = load();
  for (const Loaded& each : loaded) {
    ASSERT_TRUE(each.start);
    EXPECT_EQ(each.start->start.step(), 1);
    EXPECT_THAT(each.start->damaged, ElementsAre(starts_[0], starts_[1]));
  }
  EXPECT_TRUE(at::equal(loaded[0].parameter, parameters_[0])) << "what was loaded first has stayed";
}

TEST_F(RunStarts, NoneThatIsWholeEndsTheRunAndOneWorkerSaysWhy) {
  for (const fs::path& start : starts_) fs::remove(start / "module-002.safetensors");
  const std::vector<Loaded> loaded = load();
  ASSERT_TRUE(loaded[0].error && loaded[1].error);
  EXPECT_EQ(loaded[0].error->kind(), ErrorKind::peer_lost);
  EXPECT_EQ(loaded[1].error->kind(), ErrorKind::checkpoint);
  EXPECT_THAT(loaded[1].error->what(), HasSubstr("of 3 checkpoints none is whole"));
  EXPECT_THAT(loaded[1].error->what(), HasSubstr("module-002.safetensors"));
}

// What says nothing of the checkpoint's own state: an older one would throw work away.
TEST_F(RunStarts, OneThatALaterBuildWroteIsNotPassedOver) {
  nlohmann::json sealed = nlohmann::json::parse(read_file(starts_[0] / manifest_name));
  sealed["body"]["format"] = checkpoint_format_version + 1;
  sealed["sha256"] = sha256_hex(sealed["body"].dump());
  write_file_atomically(starts_[0] / manifest_name, sealed.dump());
  for (const Loaded& each : load()) {
    ASSERT_TRUE(each.error);
    EXPECT_THAT(each.error->what(), HasSubstr("another version of Lamina wrote it"));
  }
}

TEST_F(RunStarts, OneThatCannotBeReadIsNotPassedOver) {
  const fs::path file = starts_[0] / "module-003.safetensors";  // the second worker's
  fs::remove(file);
  fs::create_directory(file);
  const std::vector<Loaded> loaded = load();
  ASSERT_TRUE(loaded[0].error && loaded[1].error);
  EXPECT_EQ(loaded[0].error->kind(), ErrorKind::peer_lost);
  EXPECT_EQ(loaded[1].error->kind(), ErrorKind::storage);
}

TEST_F(RunStarts, WithoutAnyItIsStepZero) {
  starts_.clear();
  for (const Loaded& loaded : load()) EXPECT_EQ(loaded.start.value().start.step(), 0);
}

}  // namespace
}  // namespace lamina
