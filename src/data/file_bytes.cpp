#include "data/file_bytes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include "lamina/core/error.hpp"

namespace lamina {

std::vector<std::uint8_t> read_bytes(const std::filesystem::path& path) {
  constexpr std::size_t kLeastBytes = 1 << 16;
  const std::unique_ptr<std::FILE, decltype(&std::fclose)> file(std::fopen(path.c_str(), "rbe"),
                                                                &std::fclose);
  std::vector<std::uint8_t> bytes;
  std::size_t size = 0;
  // Grows as data come: a pipe, or a file that is being written, has no size to trust.
  while (file && !std::feof(file.get()) && !std::ferror(file.get())) {
    bytes.resize(std::max(kLeastBytes, 2 * size));
    size += std::fread(bytes.data() + size, 1, bytes.size() - size, file.get());
  }
  if (!file || std::ferror(file.get())) {
    throw Error(ErrorKind::data, fmt::format("{}: expected a readable file, found: {}", path.string(),
                                             std::generic_category().message(errno)));
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace lamina
