#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace lamina {

/// A MATLAB array of bytes: its first index counts fastest.
struct MatArray {
  std::vector<std::int64_t> dims;
  std::vector<std::uint8_t> values;
};

/// A MATLAB 5 file, whoever wrote it: what it says of itself is not believed before it has been seen.
///
/// Errors  every member throws Error{data} that begins with the path.
class MatFile {
 public:
  static constexpr std::int64_t kAnySize = -1;

  explicit MatFile(std::filesystem::path path);

  /// The variable, which has to be of class uint8 and of these dimensions, where kAnySize stands for any but
  /// 0.
  MatArray read(const std::string& name, const std::vector<std::int64_t>& dims);

 private:
  std::filesystem::path path_;
  bool is_little_endian_;
};

}  // namespace lamina
