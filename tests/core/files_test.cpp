#include "lamina/core/files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "lamina/core/error.hpp"
#include "lamina/core/process.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Files : public testing::Test {
 protected:
  Files() { fs::create_directories(directory_); }
  ~Files() override { fs::remove_all(directory_); }

  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(directory_)) found.push_back(entry.path().filename());
    return found;
  }

  const fs::path directory_ =
      fs::path(testing::TempDir()) / ("lamina_files_" + std::to_string(process_id()) + "_" +
                                      testing::UnitTest::GetInstance()->current_test_info()->name());
};

/// The message of the storage error that `action` throws.
template <class Action>
std::string storage_error(Action action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::storage);
    return error.what();
  }
  ADD_FAILURE() << "no error was thrown";
  return "";
}

TEST_F(Files, HoldWhatWasWrittenInPieces) {
  std::string expected;
  DurableFile file(directory_ / "pieces");
  for (int i = 0; i < 5; ++i) {
    const std::string piece(static_cast<std::size_t>(i) * 50'000, static_cast<char>(i));
    file.write(piece);
    expected += piece;
  }
  file.close();
  EXPECT_EQ(read_file(directory_ / "pieces"), expected);
}

TEST_F(Files, AreReplacedWholeAndLeaveNothingBesideThem) {
  const fs::path path = directory_ / "text";
  write_file_atomically(path, "a long first text");
  write_file_atomically(path, "second");
  EXPECT_EQ(read_file(path), "second");
  EXPECT_THAT(names(), testing::ElementsAre("text"));
}

TEST_F(Files, ShowAReaderTheOldTextOrTheNewOneNeverAPart) {
  const fs::path path = directory_ / "text";
  const std::string old_text(100'000, 'o');
  const std::string new_text(200'000, 'n');
  write_file_atomically(path, old_text);
  std::atomic<bool> done = false;
  std::jthread writer([&] {
    for (int i = 0; i < 20; ++i) write_file_atomically(path, i % 2 == 0 ? new_text : old_text);
    done = true;
  });
  while (!done) {
    const std::string text = read_file(path);
    ASSERT_TRUE(text == old_text || text == new_text) << text.size() << " bytes";
  }
}

TEST_F(Files, NameTheFullDisk) {
  const fs::path full = "/dev/full";
  if (!fs::exists(full)) GTEST_SKIP() << "this system has no /dev/full";
  DurableFile file(full);
  EXPECT_EQ(storage_error([&] { file.write("x"); }), "cannot write /dev/full: No space left on device");
}

TEST_F(Files, AreNotTouchedWhenTheirReplacementFails) {
  // A directory stands where the text is to go: everything works but the renaming.
  const fs::path path = directory_ / "taken";
  fs::create_directories(path / "inside");
  EXPECT_THAT(storage_error([&] { write_file_atomically(path, "text"); }), HasSubstr("Is a directory"));
  EXPECT_TRUE(fs::exists(path / "inside"));
  EXPECT_THAT(names(), testing::ElementsAre("taken")) << "the text written beside it is gone";
}

TEST_F(Files, CannotBeMadeInADirectoryWithoutPermission) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  fs::permissions(directory_, fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_THAT(storage_error([&] { write_file_atomically(directory_ / "x", "text"); }),
              HasSubstr("Permission denied"));
  fs::permissions(directory_, fs::perms::owner_all);
  EXPECT_THAT(names(), testing::IsEmpty());
}

TEST_F(Files, CannotBeMadeBelowAFile) {
  write_file_atomically(directory_ / "file", "text");
  const fs::path below = directory_ / "file" / "below";
  EXPECT_THAT(storage_error([&] { write_file_atomically(below, "text"); }), HasSubstr("Not a directory"));
  EXPECT_THAT(storage_error([&] { make_directory(below); }), HasSubstr(below.string() + ": Not a directory"));
  EXPECT_THAT(storage_error([&] { DurableFile file(below); }), HasSubstr("Not a directory"));
}

TEST_F(Files, ThatAreAbsentOrDirectoriesCannotBeRead) {
  const fs::path absent = directory_ / "absent";
  EXPECT_EQ(storage_error([&] { read_file(absent); }),
            "cannot read " + absent.string() + ": No such file or directory");
  EXPECT_THAT(storage_error([&] { read_file(directory_); }), HasSubstr("Is a directory"));
}

TEST_F(Files, DirectoriesMoveWithWhatTheyHold) {
  make_directory(directory_ / "aside" / "deep");
  write_file_atomically(directory_ / "aside" / "deep" / "x", "text");
  make_directory(directory_ / "elsewhere");
  rename_durably(directory_ / "aside", directory_ / "elsewhere" / "final");
  EXPECT_EQ(read_file(directory_ / "elsewhere" / "final" / "deep" / "x"), "text");
  EXPECT_FALSE(fs::exists(directory_ / "aside"));
}

TEST_F(Files, DirectoriesDoNotReplaceOnesThatHoldSomething) {
  make_directory(directory_ / "from");
  make_directory(directory_ / "to" / "inside");
  EXPECT_THAT(storage_error([&] { rename_durably(directory_ / "from", directory_ / "to"); }),
              HasSubstr("Directory not empty"));
  EXPECT_TRUE(fs::exists(directory_ / "from"));
  EXPECT_TRUE(fs::exists(directory_ / "to" / "inside"));
}

TEST_F(Files, CreatingADirectoryThatIsThereIsFine) {
  make_directory(directory_ / "a" / "b");
  make_directory(directory_ / "a" / "b");
  EXPECT_TRUE(fs::is_directory(directory_ / "a" / "b"));
}

}  // namespace
}  // namespace lamina
