#include "data/mat_file.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <matio.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <functional>
#include <numeric>

#include "lamina/core/error.hpp"

namespace lamina {
namespace {

mat_t* as_mat(void* handle) {
  return static_cast<mat_t*>(handle);
}

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what) {
  throw Error(ErrorKind::data, path.string() + ": " + what);
}

/// matio gives zeros for what a file lacks, so its length is checked here: after a header of 128 bytes come
/// elements, each with its type, its length, and so many bytes. The header's last two tell the byte order.
/// The format: https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf .
void require_whole(const std::filesystem::path& path) {
  constexpr std::int64_t kHeaderBytes = 128;
  std::array<unsigned char, 8> tag{};
  std::ifstream file(path, std::ios::binary);
  const auto read_tag = [&](std::int64_t position) {
    file.seekg(position);
    return static_cast<bool>(file.read(reinterpret_cast<char*>(tag.data()), tag.size()));
  };
  read_tag(kHeaderBytes - 8);
  const bool little_endian = tag[6] == 'I';
  const auto size = static_cast<std::int64_t>(std::filesystem::file_size(path));
  std::int64_t end = kHeaderBytes;
  while (end < size && read_tag(end)) {
    end += 8;
    for (const int i : {0, 1, 2, 3}) {
      end += std::int64_t{tag[static_cast<std::size_t>(4 + i)]} << 8 * (little_endian ? i : 3 - i);
    }
  }
  if (end != size)
    fail(path, fmt::format("expected {} bytes or more, found {}: the file is cut short", end, size));
}

std::string text(const std::vector<std::int64_t>& dims) {
  std::vector<std::string> words;
  for (const std::int64_t dim : dims) words.push_back(dim == MatFile::kAnySize ? "N" : std::to_string(dim));
  return fmt::format("{}", fmt::join(words, "x"));
}

std::string class_text(const matvar_t& variable) {
  if (variable.isComplex) return "complex";
  if (variable.isLogical) return "logical";
  static const std::array<const char*, 18> kNames = {
      "empty", "cell",  "struct", "object", "char",   "sparse", "double", "single",   "int8",
      "uint8", "int16", "uint16", "int32",  "uint32", "int64",  "uint64", "function", "opaque"};
  return kNames.at(static_cast<std::size_t>(variable.class_type));
}

bool fit(const std::vector<std::int64_t>& found, const std::vector<std::int64_t>& expected) {
  return std::ranges::equal(found, expected, [](std::int64_t f, std::int64_t e) {
    return e == MatFile::kAnySize ? f > 0 : f == e;
  });
}

}  // namespace

MatFile::MatFile(std::filesystem::path path)
    : path_(std::move(path)),
      handle_(Mat_Open(path_.c_str(), MAT_ACC_RDONLY), [](void* handle) { Mat_Close(as_mat(handle)); }) {
  if (!handle_ || Mat_GetVersion(as_mat(handle_.get())) != MAT_FT_MAT5) {
    fail(path_,
         fmt::format("expected a MATLAB 5 file, found {}", handle_ ? "another version" : "no header of one"));
  }
  require_whole(path_);
}

MatArray MatFile::read(const std::string& name, const std::vector<std::int64_t>& dims) {
  const std::unique_ptr<matvar_t, decltype(&Mat_VarFree)> variable(
      Mat_VarReadInfo(as_mat(handle_.get()), name.c_str()), &Mat_VarFree);
  const std::string expected =
      fmt::format("variable {}: expected {} of class uint8, found ", name, text(dims));
  if (!variable) fail(path_, expected + "no such variable");
  MatArray array;
  array.dims.assign(variable->dims, variable->dims + variable->rank);
  const std::string found_class = class_text(*variable);
  if (found_class != "uint8" || !fit(array.dims, dims)) {
    fail(path_, fmt::format("{}{} of class {}", expected, text(array.dims), found_class));
  }
  array.values.resize(static_cast<std::size_t>(
      std::accumulate(array.dims.begin(), array.dims.end(), std::int64_t{1}, std::multiplies<>())));
  std::vector<int> start(array.dims.size(), 0), stride(array.dims.size(), 1);
  std::vector<int> edge(array.dims.begin(), array.dims.end());
  if (Mat_VarReadData(as_mat(handle_.get()), variable.get(), array.values.data(), start.data(), stride.data(),
                      edge.data()) != 0) {
    fail(path_, expected + "damaged data");
  }
  return array;
}

}  // namespace lamina
