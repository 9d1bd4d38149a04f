#include "data/column_major.hpp"

#include <utility>

namespace lamina {

void column_major_to_row_major(std::span<std::uint8_t> pixels, const ImageShape& shape) {
  const std::int64_t side = shape.width;
  for (std::uint8_t* plane = pixels.data(); plane != pixels.data() + pixels.size(); plane += side * side) {
    for (std::int64_t y = 0; y < side; ++y) {
      for (std::int64_t x = y + 1; x < side; ++x) std::swap(plane[y * side + x], plane[x * side + y]);
    }
  }
}

}  // namespace lamina
