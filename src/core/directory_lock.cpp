#include "lamina/core/directory_lock.hpp"

#include <fmt/format.h>

#include <boost/interprocess/sync/file_lock.hpp>
#include <fstream>
#include <thread>

#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"

namespace lamina {
namespace {

constexpr Seconds between_tries(0.1);

}  // namespace

struct DirectoryLock::Lock {
  boost::interprocess::file_lock file;
};

DirectoryLock::DirectoryLock(const std::filesystem::path& directory, Seconds patience)
    : lock_(std::make_unique<Lock>()) {
  make_directory(directory);
  const std::filesystem::path path = directory / ".lock";
  if (!std::ofstream(path, std::ios::app))
    throw Error(ErrorKind::storage, fmt::format("cannot create {}", path.string()));
  bool is_ours = true;
  try {
    lock_->file = boost::interprocess::file_lock(path.c_str());
    const Stopwatch watch;
    while (!(is_ours = lock_->file.try_lock()) && watch.elapsed_s() < patience.count())
      std::this_thread::sleep_for(between_tries);
  } catch (const boost::interprocess::interprocess_exception&) {
    // A file system without locks.
  }
  if (!is_ours)
    throw Error(ErrorKind::storage, fmt::format("{}: expected nobody else at work there, found that another "
                                                "process has locked {}; if there is none, delete that file",
                                                directory.string(), path.string()));
}

DirectoryLock::~DirectoryLock() = default;

}  // namespace lamina
