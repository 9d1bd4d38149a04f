#include "data/idx.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <functional>
#include <numeric>

#include "data/gz_file.hpp"
#include "lamina/core/error.hpp"

namespace lamina {
namespace {

constexpr std::int64_t kUnsignedBytes = 0x08;

std::int64_t read_big_endian(GzFile& file) {
  const std::vector<std::uint8_t> bytes = file.read(4);
  return std::accumulate(bytes.begin(), bytes.end(), std::int64_t{0},
                         [](std::int64_t value, std::uint8_t byte) { return value << 8 | byte; });
}

}  // namespace

IdxArray read_idx(const std::filesystem::path& path, const std::vector<std::int64_t>& item_dims) {
  GzFile file(path);
  const std::int64_t expected_magic = kUnsignedBytes << 8 | static_cast<std::int64_t>(item_dims.size() + 1);
  if (const std::int64_t magic = read_big_endian(file); magic != expected_magic) {
    throw Error(ErrorKind::data,
                fmt::format("{}: expected IDX magic 0x{:08x} (unsigned bytes, {} dimensions), found 0x{:08x}",
                            path.string(), expected_magic, item_dims.size() + 1, magic));
  }
  IdxArray array;
  array.count = read_big_endian(file);
  std::vector<std::int64_t> dims;
  for (std::size_t i = 0; i < item_dims.size(); ++i) dims.push_back(read_big_endian(file));
  if (dims != item_dims || array.count == 0) {
    throw Error(ErrorKind::data,
                fmt::format("{}: expected at least 1 item of dimensions [{}], found {} of [{}]",
                            path.string(), fmt::join(item_dims, ", "), array.count, fmt::join(dims, ", ")));
  }
  array.values =
      file.read(std::accumulate(dims.begin(), dims.end(), array.count, std::multiplies<std::int64_t>()));
  file.expect_end();
  return array;
}

}  // namespace lamina
