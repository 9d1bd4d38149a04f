#pragma once

#include <cstdint>

namespace lamina {

/// Channels, height and width of an image or a feature map; a vector of F features is {F, 1, 1}.
struct FeatureShape {
  std::int64_t channels = 0;
  std::int64_t height = 1;
  std::int64_t width = 1;
  std::int64_t num_values() const { return channels * height * width; }
  friend bool operator==(const FeatureShape&, const FeatureShape&) = default;
};

}  // namespace lamina
