#include "data/pixels.hpp"

#include <fmt/format.h>

#include "lamina/core/error.hpp"

namespace lamina {

void require_sane_size(const ImageSize& size, const std::string& name) {
  if (size.height > 0 && size.width > 0 && size.height <= kMostPixels / size.width) return;
  throw Error(ErrorKind::data, fmt::format("{}: expected an image of at most {} pixels, found {}x{}", name,
                                           kMostPixels, size.width, size.height));
}

}  // namespace lamina
