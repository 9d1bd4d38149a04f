#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace lamina {

struct ImageSize {
  std::int64_t height = 0;
  std::int64_t width = 0;
  friend bool operator==(const ImageSize&, const ImageSize&) = default;
};

/// A decoded image: three bytes a pixel, red, green, blue, row by row.
struct Pixels {
  ImageSize size;
  std::vector<std::uint8_t> rgb;
  double scale = 1;  ///< of the image that was decoded: its point (y, x) is this one's (scale*y, scale*x)
};

/// Told the size of an image before it is decoded, says at which scale it will do; a decoder may give more.
using LeastScale = std::function<double(const ImageSize&)>;

/// Images of more pixels are taken for damaged headers: decoded they would fill hundreds of megabytes.
inline constexpr std::int64_t kMostPixels = 100'000'000;

/// @throws Error{data} that begins with `name` for an image without pixels, or with more than kMostPixels or
/// than its `num_bytes` can tell of.
void require_sane_size(const ImageSize& size, std::size_t num_bytes, std::size_t most_pixels_a_byte,
                       const std::string& name);

}  // namespace lamina
