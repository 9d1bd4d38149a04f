#include "train/checkpoint_mirror.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <stop_token>
#include <thread>
#include <vector>

#include "lamina/core/clock.hpp"
#include "lamina/core/files.hpp"
#include "lamina/train/checkpoint.hpp"
#include "temporary_directory.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;

class Mirror : public ::testing::Test {
 protected:
  fs::path checkpoint(const std::string& name) const {
    const fs::path path = directory_.path() / "own" / name;
    make_directory(path);
    std::ofstream(path / "manifest.json") << name;
    std::ofstream(path / "module-000.safetensors") << std::string(200'000, 'x') << name;
    return path;
  }
  fs::path there() const { return directory_.path() / "far" / "mirror"; }

  void expect_nothing_is_left_there() const {
    const auto limit = Clock::now() + std::chrono::seconds(20);
    while (!fs::is_empty(there()) && Clock::now() < limit)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_TRUE(fs::is_empty(there())) << "the thread that was left goes on copying";
  }

  // Until told to end; opened for both ends, so that who leaves the other one is not waited for.
  static void trickle_into(const fs::path& pipe, const std::stop_token& end) {
    const int descriptor = ::open(pipe.c_str(), O_RDWR | O_NONBLOCK);
    const std::vector<char> drop(4096);
    while (!end.stop_requested()) {
      if (::write(descriptor, drop.data(), drop.size()) < 0) {
        EXPECT_EQ(errno, EAGAIN);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ::close(descriptor);
  }

  TemporaryDirectory directory_;
};

TEST_F(Mirror, HoldsEveryFileOfTheNewestAndNoMoreThanItIsToKeep) {
  CheckpointMirror mirror(there(), 2);
  for (const char* name : {"step-00000001", "step-00000002", "step-00000003"}) {
    mirror.copy(checkpoint(name));
    mirror.finish();
  }
  const std::vector<fs::path> found = find_checkpoints(there());
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found.back().filename(), "step-00000003");
  for (const char* file : {"manifest.json", "module-000.safetensors"})
    EXPECT_EQ(read_file(found.back() / file), read_file(directory_.path() / "own/step-00000003" / file));
  EXPECT_EQ(mirror.num_failures(), 0);
}

TEST_F(Mirror, CountsWhatFailsLeavesNothingHalfCopiedAndGoesOn) {
  CheckpointMirror mirror(there(), 2);
  make_directory(there().parent_path());
  std::ofstream(there()) << "a file in the way";
  mirror.copy(checkpoint("step-00000001"));
  mirror.finish();
  EXPECT_EQ(mirror.num_failures(), 1);
  fs::remove(there());
  const fs::path broken = checkpoint("step-00000002");
  make_directory(broken / "a folder that is no file");
  mirror.copy(broken);
  mirror.finish();
  EXPECT_EQ(mirror.num_failures(), 2);
  EXPECT_TRUE(fs::is_empty(there()));
  mirror.copy(checkpoint("step-00000003"));
  mirror.finish();
  EXPECT_EQ(find_checkpoints(there()).size(), 1u);
}

TEST_F(Mirror, DeletesWhatAKilledRunLeftHalfCopiedOrHalfDeleted) {
  for (const char* left : {"step-00000001.partial", "step-00000000.old.partial"})
    make_directory(there() / left);
  CheckpointMirror mirror(there(), 2);
  mirror.copy(checkpoint("step-00000002"));
  mirror.finish();
  EXPECT_EQ(find_checkpoints(there()).size(), 1u);
  EXPECT_TRUE(find_partial_checkpoints(there()).empty());
}

TEST_F(Mirror, ThatACheckpointWasDeletedMeanwhileIsNoFailure) {
  CheckpointMirror mirror(there(), 2);
  mirror.copy(directory_.path() / "own/step-00000009");
  mirror.finish();
  EXPECT_EQ(mirror.num_failures(), 0);
}

// A pipe that nobody writes to, in the place of a server that is gone.
TEST_F(Mirror, GivesUpACopyThatHangsAndGoesOnWithoutIt) {
  const fs::path pipe = checkpoint("step-00000001") / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  {
    CheckpointMirror mirror(there(), 2, {.standstill = std::chrono::milliseconds(200)});
    mirror.copy(pipe.parent_path());
    mirror.finish();
    EXPECT_EQ(mirror.num_failures(), 1);
    mirror.copy(checkpoint("step-00000002"));
    mirror.finish();
    EXPECT_EQ(mirror.num_failures(), 1);
  }
  EXPECT_FALSE(fs::is_empty(there()));
  std::ofstream(pipe) << "too late";
  expect_nothing_is_left_there();
}

// It is always heard of, and never done.
TEST_F(Mirror, GivesUpACopyThatTakesTooLongThoughItMoves) {
  const fs::path pipe = checkpoint("step-00000001") / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  make_directory(there());
  const std::jthread source([&pipe](const std::stop_token& end) { trickle_into(pipe, end); });
  {
    CheckpointMirror mirror(there(), 2, {.in_all = std::chrono::milliseconds(200)});
    mirror.copy(pipe.parent_path());
    mirror.finish();
    EXPECT_EQ(mirror.num_failures(), 1);
  }
  expect_nothing_is_left_there();
}

}  // namespace
}  // namespace lamina
