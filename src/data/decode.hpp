#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "data/pixels.hpp"

namespace lamina {

/// Decodes a JPEG or PNG, which its first bytes tell apart, whatever the file is called: there are data sets
/// with PNGs named .JPEG.
///
/// Grey becomes three equal channels; CMYK and YCCK are read as Adobe writes them, inverted; what is
/// transparent shows white; 16 bits become 8; a JPEG is turned as EXIF says.
/// A JPEG is decoded at 1, 1/2, 1/4 or 1/8, the smallest that is at least `least_scale`; a PNG always at 1.
/// @throws Error{data} that begins with `name` if the image is of another format, has more than kMostPixels,
/// or if any of its data are missing or damaged.
Pixels decode_image(std::span<const std::uint8_t> bytes, const std::string& name,
                    const LeastScale& least_scale);

}  // namespace lamina
