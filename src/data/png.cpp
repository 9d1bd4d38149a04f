#include "data/png.hpp"

#include <fmt/format.h>
#include <png.h>

#include <memory>

#include "lamina/core/error.hpp"

namespace lamina {

bool is_png(std::span<const std::uint8_t> bytes) {
  constexpr std::size_t kSignatureBytes = 8;
  return bytes.size() >= kSignatureBytes && png_sig_cmp(bytes.data(), 0, kSignatureBytes) == 0;
}

Pixels decode_png(std::span<const std::uint8_t> bytes, const std::string& name,
                  const LeastScale& least_scale) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  const std::unique_ptr<png_image, decltype(&png_image_free)> freed(&image, &png_image_free);
  const auto require = [&](int success) {
    if (success) return;
    throw Error(ErrorKind::data, fmt::format("{}: expected a whole PNG, found: {}", name, image.message));
  };
  require(png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()));
  Pixels pixels{{image.height, image.width}, {}};
  constexpr std::size_t kMostPixelsAByte = std::size_t{1032} * 8;  // deflate's best, and a bit a pixel
  require_sane_size(pixels.size, bytes.size(), kMostPixelsAByte, name);
  least_scale(pixels.size);  // whatever it says, there is only one
  image.format = PNG_FORMAT_RGB;
  image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;  // as files are, not linear light as libpng takes 16 bits for
  pixels.rgb.resize(PNG_IMAGE_SIZE(image));
  constexpr png_color kWhite{255, 255, 255};
  require(png_image_finish_read(&image, &kWhite, pixels.rgb.data(), 0, nullptr));
  return pixels;
}

}  // namespace lamina
