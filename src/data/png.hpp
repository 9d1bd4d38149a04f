#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "data/pixels.hpp"

namespace lamina {

bool is_png(std::span<const std::uint8_t> bytes);

/// As decode_image() for a PNG.
Pixels decode_png(std::span<const std::uint8_t> bytes, const std::string& name,
                  const LeastScale& least_scale);

}  // namespace lamina
