#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace lamina {

/// The content of an IDX file of bytes: `count` items one after the other.
struct IdxArray {
  std::int64_t count = 0;
  std::vector<std::uint8_t> values;
};

/// Reads an IDX file (plain or .gz) of unsigned bytes whose items have the dimensions `item_dims`: {28, 28}
/// for images, {} for labels. The format: http://yann.lecun.com/exdb/mnist/ .
/// @throws Error{data} for another type or other dimensions, no items, missing bytes, or bytes left over.
IdxArray read_idx(const std::filesystem::path& path, const std::vector<std::int64_t>& item_dims);

}  // namespace lamina
