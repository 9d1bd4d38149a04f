#pragma once

#include <cstdint>
#include <span>

#include "lamina/data/dataset.hpp"

namespace lamina {

/// Turns images whose channels are stored column by column, as MATLAB does, into row by row, in place.
/// `pixels` holds whole images of the shape, which is square, one after the other.
void column_major_to_row_major(std::span<std::uint8_t> pixels, const ImageShape& shape);

}  // namespace lamina
