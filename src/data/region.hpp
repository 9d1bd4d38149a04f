#pragma once

#include <ATen/core/PhiloxRNGEngine.h>

#include <cstdint>

#include "data/pixels.hpp"

namespace lamina {

/// A rectangle in an image, in its pixels; its edges may lie within them.
struct Region {
  double top = 0;
  double left = 0;
  double height = 0;
  double width = 0;
};

/// The region of a random resized crop: 0.08 to 1 of the area at a ratio of width to height of 3/4 to 4/3,
/// uniform in the area and in the ratio's logarithm, anywhere inside. Ten draws that do not fit are followed
/// by the largest region in the middle with such a ratio. Takes up to 32 numbers of the engine. Szegedy et
/// al., "Going deeper with convolutions", 2015, section 6, with torchvision's numbers.
Region random_region(const ImageSize& size, at::Philox4_32& engine);

/// What is left when the shorter side is resized to 256/224 of `crop` and a square of `crop` is cut out of
/// the middle.
Region middle_region(const ImageSize& size, std::int64_t crop);

}  // namespace lamina
