#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace lamina {

/// A file being written, aside or in place, that is on the disk when close() returns.
///
/// Errors  every member throws Error{storage} with the path and the system's reason (full disk, permissions).
class DurableFile {
 public:
  /// Creates the file or empties it.
  explicit DurableFile(const std::filesystem::path& path);
  ~DurableFile();
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;

  void write(const void* bytes, std::size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }

  /// fsync and close. A file destroyed without it is left behind incomplete: write where that does no harm.
  void close();

 private:
  std::filesystem::path path_;
  int descriptor_;
};

/// Replaces the file at `path` by `text`: written beside it, fsynced, renamed. A reader sees the old text or
/// the new one, never a part.
/// @throws Error{storage}
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

/// The whole file. @throws Error{storage} if it cannot be read.
std::string read_file(const std::filesystem::path& path);

/// Renames a directory and makes the renaming durable. @throws Error{storage}
void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);

/// Creates a directory with its parents. @throws Error{storage}
void make_directory(const std::filesystem::path& path);

/// Copies a file; the copy is on the disk when this returns. `after_piece` is called as it goes on, and may
/// throw. @throws Error{storage}
void copy_durably(const std::filesystem::path& from, const std::filesystem::path& to,
                  const std::function<void()>& after_piece);

/// Deletes a directory and what is in it; that there is none is no error. @throws Error{storage}
void remove_directory(const std::filesystem::path& path);

}  // namespace lamina
