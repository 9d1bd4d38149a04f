#include "data/decode.hpp"

#include <fmt/format.h>

#include "data/jpeg.hpp"
#include "data/png.hpp"
#include "lamina/core/error.hpp"

namespace lamina {

Pixels decode_image(std::span<const std::uint8_t> bytes, const std::string& name,
                    const LeastScale& least_scale) {
  if (is_jpeg(bytes)) return decode_jpeg(bytes, name, least_scale);
  if (is_png(bytes)) return decode_png(bytes, name, least_scale);
  throw Error(ErrorKind::data, fmt::format("{}: expected a JPEG or PNG, found {}", name,
                                           bytes.empty() ? "an empty file" : "other first bytes"));
}

}  // namespace lamina
