#include "data/exif.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

namespace lamina {
namespace {

using std::string_view_literals::operator""sv;

// By the tag's value less one.
constexpr std::array<Orientation, 8> kOrientations = {{
    {},
    {.flip_columns = true},
    {.flip_rows = true, .flip_columns = true},
    {.flip_rows = true},
    {.transpose = true},
    {.flip_rows = true, .transpose = true},
    {.flip_rows = true, .flip_columns = true, .transpose = true},
    {.flip_columns = true, .transpose = true},
}};

/// The TIFF structure inside, whose numbers are in the byte order that it names itself.
class Tiff {
 public:
  explicit Tiff(std::span<const std::uint8_t> bytes) : bytes_(bytes) {
    little_endian_ = !bytes.empty() && bytes[0] == 'I';
  }

  /// The number of `size` bytes at `place`, if they are all there.
  std::optional<std::size_t> number(std::size_t place, std::size_t size) const {
    if (place > bytes_.size() || size > bytes_.size() - place) return std::nullopt;
    std::size_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
      value = value << 8 | bytes_[place + (little_endian_ ? size - 1 - i : i)];
    }
    return value;
  }

 private:
  std::span<const std::uint8_t> bytes_;
  bool little_endian_;
};

}  // namespace

Orientation exif_orientation(std::span<const std::uint8_t> app1) {
  constexpr std::string_view kPrefix = "Exif\0\0"sv;
  constexpr std::size_t kFirstDirectory = 4, kEntryBytes = 12, kOrientationTag = 0x0112, kShort = 3;
  if (app1.size() < kPrefix.size() || !std::equal(kPrefix.begin(), kPrefix.end(), app1.begin())) return {};
  const Tiff tiff(app1.subspan(kPrefix.size()));
  const std::size_t directory = tiff.number(kFirstDirectory, 4).value_or(0);
  const std::size_t num_entries = tiff.number(directory, 2).value_or(0);
  for (std::size_t i = 0; i < num_entries; ++i) {
    const std::size_t entry = directory + 2 + i * kEntryBytes;
    if (tiff.number(entry, 2) != kOrientationTag || tiff.number(entry + 2, 2) != kShort) continue;
    const std::size_t value = tiff.number(entry + 8, 2).value_or(0);
    return value >= 1 && value <= kOrientations.size() ? kOrientations[value - 1] : Orientation{};
  }
  return {};
}

ImageSize seen_size(const ImageSize& stored, const Orientation& orientation) {
  return orientation.transpose ? ImageSize{stored.width, stored.height} : stored;
}

Pixels turned(Pixels stored, const Orientation& orientation) {
  if (orientation == Orientation{}) return stored;
  Pixels seen{seen_size(stored.size, orientation), std::vector<std::uint8_t>(stored.rgb.size()),
              stored.scale};
  std::uint8_t* to = seen.rgb.data();
  for (std::int64_t y = 0; y < seen.size.height; ++y) {
    for (std::int64_t x = 0; x < seen.size.width; ++x, to += 3) {
      auto [row, column] = orientation.transpose ? std::pair(x, y) : std::pair(y, x);
      if (orientation.flip_rows) row = stored.size.height - 1 - row;
      if (orientation.flip_columns) column = stored.size.width - 1 - column;
      std::copy_n(stored.rgb.data() + (row * stored.size.width + column) * 3, 3, to);
    }
  }
  return seen;
}

}  // namespace lamina
