#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

namespace lamina {

/// A file read from front to end, gzip-compressed or plain: zlib tells which.
///
/// Errors  every member throws Error{data} that begins with the path.
class GzFile {
 public:
  explicit GzFile(std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }

  /// The next `size` bytes.
  std::vector<std::uint8_t> read(std::int64_t size);

  /// Checks that nothing follows, and that a compressed file is whole.
  void expect_end();

 private:
  /// Up to `size` bytes; fewer at the end of the file only.
  std::int64_t read_some(std::uint8_t* bytes, std::int64_t size);

  std::filesystem::path path_;
  std::unique_ptr<void, void (*)(void*)> handle_;
  std::int64_t position_ = 0;
};

}  // namespace lamina
