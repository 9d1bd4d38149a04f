#include "train/background_writer.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>
#include <future>
#include <thread>

#include "lamina/core/error.hpp"
#include "temporary_directory.hpp"
#include "two_stages.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using tests::step;
using tests::two_stages;

// Copies that are there when the test says so, as those of a slow device.
class HeldCopies final : public HostCopies {
 public:
  explicit HeldCopies(std::vector<std::function<void()>>& held) : held_(held) {}
  void download(const std::vector<at::Tensor>& tensors, Done done, std::vector<at::Tensor>) override {
    std::vector<at::Tensor> copies;
    for (const at::Tensor& tensor : tensors) copies.push_back(tensor.detach().clone());
    held_.push_back([copies, done = std::move(done)] { done(copies); });
  }
  void upload(const std::vector<at::Tensor>&, const std::vector<at::Tensor>&) override {}
  void finish() override {}

 private:
  std::vector<std::function<void()>>& held_;
};

class NoCopies final : public HostCopies {
 public:
  void download(const std::vector<at::Tensor>&, Done, std::vector<at::Tensor>) override { ADD_FAILURE(); }
  void upload(const std::vector<at::Tensor>&, const std::vector<at::Tensor>&) override {}
  void finish() override {}
};

Packet mark_at(std::int64_t step, PacketKind kind = PacketKind::checkpoint) {
  return {.kind = kind, .step = step};
}

// Two workers with a stage each; the second is the sink.
class Background : public ::testing::Test {
 protected:
  std::unique_ptr<BackgroundWriter> make_writer(
      const fs::path& directory, std::shared_ptr<CheckpointMirror> mirror = nullptr,
      std::unique_ptr<HostCopies> copies = make_host_copies(at::kCPU)) {
    return std::make_unique<BackgroundWriter>(CheckpointWriter(directory, tests::config_yaml(), 2), 4,
                                              std::move(copies), std::move(mirror));
  }

  // The packet as the sink sees it, with what both have to tell.
  Packet passed(Packet packet) {
    for (BackgroundWriter* writer : {first_.get(), sink_.get()})
      for (std::string& note : writer->take_notes()) packet.notes.push_back(std::move(note));
    return packet;
  }

  void save(const Packet& mark) {
    first_->save(stages_[0], mark);
    sink_->save(stages_[1], mark);
  }

  void write_all() {
    first_->finish();
    sink_->finish();
  }

  std::vector<fs::path> complete() const { return find_checkpoints(directory_.path()); }

  static at::Tensor first_tensor_of(std::vector<Stage>& stages) {
    return stages[0].parts()[0].module.block_parameters()[0];
  }

  at::Tensor first_tensor_written() const {
    std::vector<Stage> other = two_stages(2);
    for (Stage& stage : other) load_stage(complete().front(), read_manifest(complete().front()), stage);
    return first_tensor_of(other);
  }

  TemporaryDirectory directory_;
  std::vector<Stage> stages_ = two_stages(1);
  std::unique_ptr<BackgroundWriter> first_ = make_writer(directory_.path());
  std::unique_ptr<BackgroundWriter> sink_ = make_writer(directory_.path());
};

TEST_F(Background, WhatIsWrittenIsTheStateAsTheMarkPassed) {
  step(stages_, 0);
  const at::Tensor before = first_tensor_of(stages_).detach().clone();
  save(mark_at(1));
  step(stages_, 1);
  ASSERT_FALSE(at::equal(before, first_tensor_of(stages_)));
  write_all();
  sink_->collect(passed(mark_at(1)));
  sink_->finish();
  ASSERT_EQ(complete().size(), 1u);
  EXPECT_TRUE(at::equal(before, first_tensor_written()));
}

TEST_F(Background, AtTheStopWhatIsOnTheHostIsWrittenWithoutACopy) {
  for (auto* writer : {&first_, &sink_})
    *writer = make_writer(directory_.path(), {}, std::make_unique<NoCopies>());
  const Packet stop = mark_at(1, PacketKind::stop);
  save(stop);
  write_all();
  sink_->collect(passed(stop));
  sink_->finish();
  ASSERT_EQ(complete().size(), 1u);
  EXPECT_TRUE(at::equal(first_tensor_of(stages_), first_tensor_written()));
}

TEST_F(Background, ACheckpointIsCompleteOnceTheNotesOfAllHaveComeWithAnyLaterPacket) {
  save(mark_at(1));
  sink_->collect(mark_at(1));  // nobody is ready yet
  write_all();
  Packet next{.kind = PacketKind::train, .step = 1};
  next.notes = sink_->take_notes();
  sink_->collect(next);
  sink_->finish();
  EXPECT_TRUE(complete().empty()) << "the first worker's note is missing";
  sink_->collect(passed({.kind = PacketKind::eval, .step = 1}));
  sink_->finish();
  ASSERT_EQ(complete().size(), 1u);
  EXPECT_EQ(sink_->newest()->step, 1);
  EXPECT_EQ(read_manifest(complete().front()).modules.size(), 4u);
}

TEST_F(Background, NotesOfTwoCheckpointsMayComeTogether) {
  for (const Packet& mark : {mark_at(1), mark_at(2)}) {
    save(mark);
    sink_->collect(mark);
  }
  const Packet stop = mark_at(2, PacketKind::stop);
  save(stop);
  write_all();
  sink_->collect(passed(stop));
  sink_->finish();
  ASSERT_EQ(complete().size(), 2u);
  EXPECT_TRUE(find_partial_checkpoints(directory_.path()).empty());
  EXPECT_EQ(sink_->newest()->step, 2);
}

TEST_F(Background, AnAbandonedMarkIsNeverComplete) {
  Packet mark = mark_at(3);
  first_->save(stages_[0], mark);  // passed it before the number that was not finite
  first_->finish();
  mark.abandoned = true;
  sink_->collect(passed(mark));
  sink_->finish();
  EXPECT_TRUE(complete().empty());
}

TEST_F(Background, ASecondMarkWaitsUntilTheFirstIsWritten) {
  std::vector<std::function<void()>> held;
  BackgroundWriter writer(CheckpointWriter(directory_.path(), tests::config_yaml(), 2), 4,
                          std::make_unique<HeldCopies>(held));
  EXPECT_EQ(writer.save(stages_[0], mark_at(1)), 0);
  EXPECT_EQ(writer.save(stages_[1], mark_at(1)), 0) << "the same mark's next stage does not wait";
  std::future<double> second =
      std::async(std::launch::async, [&] { return writer.save(stages_[0], mark_at(2)); });
  const auto is_done = [&] { return second.wait_for(Seconds(0)) == std::future_status::ready; };
  while (writer.cost().waits == 0 && !is_done()) std::this_thread::yield();
  EXPECT_FALSE(is_done()) << "nothing has been written yet";
  for (const auto& copy : std::exchange(held, {})) copy();
  EXPECT_GT(second.get(), 0);
  EXPECT_EQ(writer.cost().waits, 1);
  EXPECT_EQ(writer.cost().written, 1);
  for (const auto& copy : std::exchange(held, {})) copy();
  writer.finish();
  EXPECT_EQ(writer.cost().written, 2);
}

TEST_F(Background, AMarkIsCountedOnceThoughItsFirstStageIsWrittenBeforeTheSecondIsSaved) {
  for (const std::int64_t mark : {1, 2}) {
    for (const Stage& stage : stages_) {
      first_->save(stage, mark_at(mark));
      first_->finish();
    }
    EXPECT_EQ(first_->cost().written, mark);
  }
}

TEST_F(Background, AFailedWriteIsThrownByTheNextCallAndLeavesTheCheckpointBeforeItAlone) {
  save(mark_at(1));
  write_all();
  sink_->collect(passed(mark_at(1)));
  sink_->finish();
  std::ofstream(directory_.path() / "step-00000002.partial") << "a file in the way";
  first_->save(stages_[0], mark_at(2));
  for (const auto& call :
       std::vector<std::function<void()>>{[&] { first_->finish(); }, [&] { first_->take_notes(); },
                                          [&] { first_->save(stages_[0], mark_at(3)); }})
    try {
      call();
      FAIL() << "nothing was thrown";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::storage);
      EXPECT_THAT(error.what(), HasSubstr("step-00000002.partial"));
    }
  ASSERT_EQ(complete().size(), 1u);
  EXPECT_EQ(read_manifest(complete().front()).step, 1);
}

TEST_F(Background, GoesToTheMirrorOnceItIsComplete) {
  const TemporaryDirectory other;
  sink_ = make_writer(directory_.path(), std::make_shared<CheckpointMirror>(other.path() / "mirror", 2));
  save(mark_at(1));
  write_all();
  sink_->finish_mirror();
  EXPECT_TRUE(find_checkpoints(other.path() / "mirror").empty());
  sink_->collect(passed(mark_at(1)));
  sink_->finish();
  sink_->finish_mirror();
  ASSERT_EQ(find_checkpoints(other.path() / "mirror").size(), 1u);
  std::vector<Stage> copy = two_stages(2);
  const fs::path path = find_checkpoints(other.path() / "mirror").front();
  for (Stage& stage : copy) EXPECT_NO_THROW(load_stage(path, read_manifest(path), stage));
}

// As behind a rollback, whose next line has a writer of its own. A pipe in the checkpoint holds the copy up.
TEST_F(Background, ItsEndDoesNotWaitForAMirrorThatOthersHaveToo) {
  const TemporaryDirectory other;
  const auto mirror = std::make_shared<CheckpointMirror>(other.path() / "mirror", 2);
  sink_ = make_writer(directory_.path(), mirror);
  save(mark_at(1));
  write_all();
  ASSERT_EQ(::mkfifo((directory_.path() / "step-00000001.partial/pipe").c_str(), 0600), 0);
  sink_->collect(passed(mark_at(1)));
  sink_->finish();
  sink_.reset();
  EXPECT_TRUE(find_checkpoints(other.path() / "mirror").empty());
  sink_ = make_writer(directory_.path(), mirror);
  std::ofstream(complete().front() / "pipe") << "that is all";
  sink_->finish_mirror();
  EXPECT_EQ(find_checkpoints(other.path() / "mirror").size(), 1u);
  EXPECT_EQ(sink_->cost().mirror_failures, 0);
}

}  // namespace
}  // namespace lamina
