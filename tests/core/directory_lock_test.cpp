#include "lamina/core/directory_lock.hpp"

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <optional>

#include "lamina/core/error.hpp"
#include "temporary_directory.hpp"

namespace lamina {
namespace {

using ::testing::HasSubstr;

// What keeps this process out; empty if nothing does.
std::string refusal(const std::filesystem::path& directory) {
  try {
    const DirectoryLock lock(directory);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::storage);
    return error.what();
  }
  return "";
}

// What another process finds; empty if it gets the lock.
std::string found_by_another(const std::filesystem::path& directory) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe(ends.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string said = refusal(directory);
    const bool fine = ::write(ends[1], said.data(), said.size()) == static_cast<ssize_t>(said.size());
    ::_exit(fine ? 0 : 1);
  }
  ::close(ends[1]);
  std::string said(4096, '\0');
  said.resize(static_cast<std::size_t>(::read(ends[0], said.data(), said.size())));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  return said;
}

TEST(DirectoryLock, KeepsOtherProcessesOutAsLongAsItLives) {
  const TemporaryDirectory folder;
  const auto directory = folder.path() / "deep/below";
  std::optional<DirectoryLock> lock(directory);
  EXPECT_THAT(found_by_another(directory), HasSubstr("below: expected nobody else at work there"));
  EXPECT_EQ(found_by_another(folder.path()), "");
  lock.reset();
  EXPECT_EQ(found_by_another(directory), "");
}

TEST(DirectoryLock, NeedsADirectoryThatTakesAFile) {
  EXPECT_THAT(refusal("/proc/self"), HasSubstr("/proc/self/.lock"));
}

}  // namespace
}  // namespace lamina
