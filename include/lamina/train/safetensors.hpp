#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace lamina {

/// Named tensors in the safetensors format (8 bytes of header length, a JSON header, the data, little-endian,
/// row major), as Python's `safetensors` reads and writes it.
using TensorList = std::vector<std::pair<std::string, at::Tensor>>;

/// SHA-256 and size of a file that was written.
struct FileDigest {
  std::string sha256;
  std::int64_t num_bytes = 0;
};

/// Writes the tensors (float32, float64, int64 or uint8, of any strides) to a new file, durably.
/// @throws Error{storage}
FileDigest write_safetensors(const std::filesystem::path& path, const TensorList& tensors);

/// Every tensor of a text in that format, by name; contiguous, with memory of their own.
/// `path` is for messages. @throws Error{checkpoint} if the bytes are not whole and valid safetensors.
std::map<std::string, at::Tensor> parse_safetensors(const std::string& bytes,
                                                    const std::filesystem::path& path);

/// The same of a file. @throws Error{storage} if it cannot be read.
std::map<std::string, at::Tensor> read_safetensors(const std::filesystem::path& path);

}  // namespace lamina
