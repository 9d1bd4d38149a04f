#pragma once

#include <gmock/gmock.h>
#include <zlib.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "lamina/core/error.hpp"
#include "lamina/data/dataset.hpp"
#include "temporary_directory.hpp"

namespace lamina {

using Bytes = std::vector<std::uint8_t>;

/// A temporary directory to put a data set's files into.
class TemporaryFolder : public TemporaryDirectory {
 public:
  /// Writes a file, with the folders above it, and returns its path.
  std::filesystem::path write(const std::string& name, const Bytes& bytes) const {
    const std::filesystem::path file = path() / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return file;
  }
};

/// The pixels of one image, CHW.
inline Bytes image_of(const Dataset& dataset, std::int64_t index) {
  Bytes chw(static_cast<std::size_t>(dataset.shape().num_values()));
  dataset.read(index, chw);
  return chw;
}

/// The bytes as a .gz file holds them.
inline Bytes gzip(const Bytes& bytes) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "bytes.gz";
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
  std::ifstream stream(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(stream), {});
}

/// An IDX file of unsigned bytes.
inline Bytes idx_file(const std::vector<std::uint32_t>& dims, const Bytes& values) {
  Bytes bytes{0, 0, 0x08, static_cast<std::uint8_t>(dims.size())};
  for (const std::uint32_t dim : dims) {
    for (const int shift : {24, 16, 8, 0}) bytes.push_back(static_cast<std::uint8_t>(dim >> shift));
  }
  bytes.insert(bytes.end(), values.begin(), values.end());
  return bytes;
}

/// Bytes that look like no pattern.
inline Bytes varied_bytes(std::size_t size, std::uint32_t salt = 0) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::uint8_t>((static_cast<std::uint32_t>(i) + salt) * 2654435761U >> 24);
  }
  return bytes;
}

/// Expects an Error of this kind in one line, and returns its message.
template <class Action>
std::string error_of(ErrorKind kind, Action action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(name(error.kind()), name(kind));
    EXPECT_THAT(error.what(), testing::Not(testing::HasSubstr("\n")));
    return error.what();
  }
  ADD_FAILURE() << "expected an Error{" << name(kind) << "}, found none";
  return "";
}

}  // namespace lamina
