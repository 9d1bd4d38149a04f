#pragma once

#include <cstdint>
#include <span>

#include "data/pixels.hpp"
#include "data/region.hpp"

namespace lamina {

/// Resizes a region of an image, given in its pixels, to side x side, and writes it to `chw` channel by
/// channel.
///
/// Bilinear with antialiasing: each value is a mean under a triangle as wide as two pixels of the coarser of
/// the two grids. At the region's edge the triangle looks at the pixels beyond it, as long as there are any.
void resample(const Pixels& pixels, const Region& region, std::int64_t side, std::span<std::uint8_t> chw);

}  // namespace lamina
