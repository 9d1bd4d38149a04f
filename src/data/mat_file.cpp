#include "data/mat_file.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <functional>
#include <numeric>
#include <optional>

#include "lamina/core/error.hpp"

// The format: https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf . After a header of 128 bytes
// come elements: a type, a length, and so many bytes. A compressed one inflates to another element. Of the
// kinds that there are, only arrays of bytes are looked into, and no length is believed before so many bytes
// have come.
namespace lamina {
namespace {

constexpr std::int64_t kHeaderBytes = 128;
constexpr std::size_t kTagBytes = 8;
constexpr std::uint32_t kInt8 = 1, kUint8 = 2, kInt32 = 5, kUint32 = 6, kMatrix = 14, kCompressed = 15;

struct Tag {
  std::uint32_t type = 0;
  std::uint32_t num_bytes = 0;
  bool is_small = false;  ///< its bytes are in the tag itself
  std::array<std::uint8_t, 4> small{};
};

/// What an array says of itself.
struct Array {
  std::uint32_t class_number = 0;
  bool is_complex = false, is_logical = false;
  std::vector<std::int64_t> dims{};
  std::string name{};
};

/// An element's bytes from front to back, inflated where they are compressed.
class Content {
 public:
  Content(std::ifstream& file, std::int64_t num_bytes, bool is_compressed, bool is_little_endian)
      : file_(file),
        num_left_(num_bytes),
        is_compressed_(is_compressed),
        is_little_endian_(is_little_endian) {
    if (is_compressed_) inflateInit(&stream_);
  }
  ~Content() {
    if (is_compressed_) inflateEnd(&stream_);
  }
  Content(const Content&) = delete;
  Content& operator=(const Content&) = delete;

  /// False if there are not so many bytes, or they are damaged.
  bool read(std::span<std::uint8_t> to) { return is_compressed_ ? inflate_to(to) : read_from_file(to); }

  std::optional<Tag> tag() {
    std::array<std::uint8_t, kTagBytes> bytes{};
    if (!read(bytes)) return std::nullopt;
    Tag tag{number(bytes.data()), number(bytes.data() + 4)};
    if (tag.type >> 16 == 0) return tag;
    tag = {tag.type & 0xffff, tag.type >> 16, /*is_small=*/true, {bytes[4], bytes[5], bytes[6], bytes[7]}};
    return tag.num_bytes <= tag.small.size() ? std::optional(tag) : std::nullopt;
  }

  /// A whole short element of this type.
  std::optional<std::vector<std::uint8_t>> element(std::uint32_t type) {
    constexpr std::uint32_t kMostBytes = 256;
    const std::optional<Tag> found = tag();
    if (!found || found->type != type || found->num_bytes > kMostBytes) return std::nullopt;
    if (found->is_small) return std::vector(found->small.begin(), found->small.begin() + found->num_bytes);
    std::vector<std::uint8_t> bytes((found->num_bytes + kTagBytes - 1) / kTagBytes * kTagBytes);
    if (!read(bytes)) return std::nullopt;
    bytes.resize(found->num_bytes);
    return bytes;
  }

  /// Whether what is compressed is as it was: its checksum stands behind everything else.
  bool ends_whole() {
    std::array<std::uint8_t, kTagBytes> padding{};
    for (std::size_t i = 0; i < padding.size() && is_compressed_ && !has_ended_; ++i)
      if (!read({&padding[i], 1})) break;
    return !is_compressed_ || has_ended_;
  }

  std::uint32_t number(const std::uint8_t* bytes) const {
    std::uint32_t value = 0;
    for (const int i : {0, 1, 2, 3}) value |= std::uint32_t{bytes[i]} << 8 * (is_little_endian_ ? i : 3 - i);
    return value;
  }

 private:
  bool read_from_file(std::span<std::uint8_t> to) {
    const auto size = static_cast<std::int64_t>(to.size());
    if (size > num_left_) return false;
    num_left_ -= size;
    return static_cast<bool>(file_.read(reinterpret_cast<char*>(to.data()), size));
  }

  bool inflate_to(std::span<std::uint8_t> to) {
    stream_.next_out = to.data();
    stream_.avail_out = static_cast<unsigned>(to.size());
    while (stream_.avail_out > 0 && !has_ended_) {
      if (stream_.avail_in == 0) {
        const std::int64_t next = std::min(num_left_, static_cast<std::int64_t>(input_.size()));
        if (next == 0 || !read_from_file({input_.data(), static_cast<std::size_t>(next)})) return false;
        stream_.next_in = input_.data();
        stream_.avail_in = static_cast<unsigned>(next);
      }
      const int code = inflate(&stream_, Z_NO_FLUSH);
      if (code != Z_OK && code != Z_STREAM_END) return false;
      has_ended_ = code == Z_STREAM_END;
    }
    return stream_.avail_out == 0;
  }

  std::ifstream& file_;
  std::int64_t num_left_;  ///< in the file
  bool is_compressed_, is_little_endian_;
  bool has_ended_ = false;
  z_stream stream_{};
  std::array<std::uint8_t, 1 << 14> input_{};
};

/// What stands before an array's data; nothing for what is no array, or damaged.
std::optional<Array> read_array(Content& content) {
  const auto flags = content.element(kUint32);
  const auto dims = flags ? content.element(kInt32) : std::nullopt;
  const auto name = dims ? content.element(kInt8) : std::nullopt;
  if (!name || flags->size() != 8 || dims->size() % 4 != 0) return std::nullopt;
  const std::uint32_t word = content.number(flags->data());
  Array array{.class_number = word & 0xff,
              .is_complex = (word & 0x800) != 0,
              .is_logical = (word & 0x200) != 0,
              .name = std::string(name->begin(), name->end())};
  for (std::size_t i = 0; i < dims->size(); i += 4)
    array.dims.push_back(static_cast<std::int32_t>(content.number(dims->data() + i)));
  return array;
}

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& what) {
  throw Error(ErrorKind::data, path.string() + ": " + what);
}

/// The header's last four bytes are the version and the byte order.
bool is_little_endian(const std::filesystem::path& path) {
  using Ending = std::array<char, 4>;
  constexpr Ending kLittle{0, 1, 'I', 'M'}, kBig{1, 0, 'M', 'I'}, kNewLittle{0, 2, 'I', 'M'},
      kNewBig{2, 0, 'M', 'I'};
  Ending ending{};
  std::ifstream file(path, std::ios::binary);
  file.seekg(kHeaderBytes - static_cast<std::int64_t>(ending.size()));
  file.read(ending.data(), ending.size());
  if (file && (ending == kLittle || ending == kBig)) return ending == kLittle;
  const bool is_newer = file && (ending == kNewLittle || ending == kNewBig);
  refuse(path, fmt::format("expected a MATLAB 5 file, found {}",
                           is_newer ? "another version" : "no header of one"));
}

std::string text(const std::vector<std::int64_t>& dims) {
  std::vector<std::string> words;
  for (const std::int64_t dim : dims) words.push_back(dim == MatFile::kAnySize ? "N" : std::to_string(dim));
  return fmt::format("{}", fmt::join(words, "x"));
}

std::string class_text(const Array& array) {
  if (array.is_complex) return "complex";
  if (array.is_logical) return "logical";
  static constexpr std::array<const char*, 18> kNames = {
      "empty", "cell",  "struct", "object", "char",   "sparse", "double", "single",   "int8",
      "uint8", "int16", "uint16", "int32",  "uint32", "int64",  "uint64", "function", "opaque"};
  return array.class_number < kNames.size() ? kNames[array.class_number] : "no known kind";
}

bool fit(const std::vector<std::int64_t>& found, const std::vector<std::int64_t>& expected) {
  return std::ranges::equal(found, expected, [](std::int64_t f, std::int64_t e) {
    return e == MatFile::kAnySize ? f > 0 : f == e;
  });
}

/// The data of an array of so many bytes; nothing if they are not there.
std::optional<std::vector<std::uint8_t>> read_values(Content& content, std::int64_t num_values) {
  constexpr std::size_t kChunkBytes = std::size_t{1} << 20;
  const std::optional<Tag> tag = content.tag();
  if (!tag || tag->type != kUint8 || tag->num_bytes != num_values) return std::nullopt;
  if (tag->is_small) return std::vector(tag->small.begin(), tag->small.begin() + tag->num_bytes);
  std::vector<std::uint8_t> values;
  while (values.size() < tag->num_bytes) {
    const std::size_t done = values.size();
    values.resize(std::min<std::size_t>(tag->num_bytes, done + std::max(kChunkBytes, done)));
    if (!content.read(std::span(values).subspan(done))) return std::nullopt;
  }
  return content.ends_whole() ? std::optional(std::move(values)) : std::nullopt;
}

}  // namespace

MatFile::MatFile(std::filesystem::path path)
    : path_(std::move(path)), is_little_endian_(is_little_endian(path_)) {}

MatArray MatFile::read(const std::string& name, const std::vector<std::int64_t>& dims) {
  const std::string expected =
      fmt::format("variable {}: expected {} of class uint8, found ", name, text(dims));
  const auto size = static_cast<std::int64_t>(std::filesystem::file_size(path_));
  std::ifstream file(path_, std::ios::binary);
  for (std::int64_t begin = kHeaderBytes; begin < size;) {
    file.clear();
    file.seekg(begin);
    const std::optional<Tag> outer = Content(file, kTagBytes, false, is_little_endian_).tag();
    begin += static_cast<std::int64_t>(kTagBytes) + (outer ? outer->num_bytes : 0);
    if (!outer || begin > size)
      refuse(path_, fmt::format("expected {} bytes or more, found {}: the file is cut short", begin, size));
    Content content(file, outer->num_bytes, outer->type == kCompressed, is_little_endian_);
    const std::optional<Tag> tag = outer->type == kCompressed ? content.tag() : outer;
    const std::optional<Array> array = tag && tag->type == kMatrix ? read_array(content) : std::nullopt;
    if (!array || array->name != name) continue;
    if (class_text(*array) != "uint8" || !fit(array->dims, dims))
      refuse(path_, fmt::format("{}{} of class {}", expected, text(array->dims), class_text(*array)));
    // Of as many dimensions as are expected, whose sizes are no more than 31 bits each.
    const double num_values =
        std::accumulate(array->dims.begin(), array->dims.end(), 1.0, std::multiplies<>());
    auto values =
        num_values < 0x1p32 ? read_values(content, static_cast<std::int64_t>(num_values)) : std::nullopt;
    if (!values) refuse(path_, expected + "damaged data");
    return {array->dims, std::move(*values)};
  }
  refuse(path_, expected + "no such variable");
}

}  // namespace lamina
