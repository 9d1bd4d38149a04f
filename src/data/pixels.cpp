#include "data/pixels.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lamina/core/error.hpp"

namespace lamina {

void require_sane_size(const ImageSize& size, std::size_t num_bytes, std::size_t most_pixels_a_byte,
                       const std::string& name) {
  const auto of_bytes = static_cast<std::int64_t>(num_bytes * most_pixels_a_byte);
  const std::int64_t most = std::min(kMostPixels, of_bytes);
  if (size.height > 0 && size.width > 0 && size.height <= most / size.width) return;
  throw Error(ErrorKind::data,
              fmt::format("{}: expected an image of at most {} pixels in {} bytes, found {}x{}", name, most,
                          num_bytes, size.width, size.height));
}

}  // namespace lamina
