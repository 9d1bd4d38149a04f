#pragma once

#include <cstdint>
#include <span>

#include "data/pixels.hpp"

namespace lamina {

/// How a camera was held, as EXIF's orientation says: what to do with the stored pixels so that they are seen
/// upright. The flips come first.
struct Orientation {
  bool flip_rows = false;     ///< the last row becomes the first
  bool flip_columns = false;  ///< the last column becomes the first
  bool transpose = false;     ///< rows become columns
  friend bool operator==(const Orientation&, const Orientation&) = default;
};

/// What an APP1 segment of a JPEG says; upright if it is no EXIF, has no such tag, or is damaged.
/// The format: CIPA DC-008 "Exif", sections 4.5 to 4.7.
Orientation exif_orientation(std::span<const std::uint8_t> app1);

ImageSize seen_size(const ImageSize& stored, const Orientation& orientation);
Pixels turned(Pixels stored, const Orientation& orientation);

}  // namespace lamina
