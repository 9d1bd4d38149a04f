#pragma once

#include <filesystem>
#include <memory>

#include "lamina/core/clock.hpp"

namespace lamina {

/// Keeps other processes that ask for the same out of a directory, as long as it lives: a lock of the
/// system's on the directory's file `.lock`, which goes with the process, however that ends. Where a file
/// system knows no locks nobody is kept out.
///
/// Threads  any; two locks of one process do not see each other.
class DirectoryLock {
 public:
  /// Makes the directory if it is not there. Another process is waited for as long as `patience`: a network
  /// file system may keep the locks of a host that is gone for a while.
  /// @throws Error{storage} if another process has it then, or no file can be made in it.
  explicit DirectoryLock(const std::filesystem::path& directory, Seconds patience = Seconds(0));
  ~DirectoryLock();

 private:
  struct Lock;
  std::unique_ptr<Lock> lock_;
};

}  // namespace lamina
