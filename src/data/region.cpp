#include "data/region.hpp"

#include <algorithm>
#include <cmath>

#include "data/random.hpp"

namespace lamina {
namespace {

constexpr double kLeastArea = 0.08;
constexpr double kLeastRatio = 3.0 / 4;  // of width to height; the most is its inverse
constexpr int kTries = 10;

double draw_between(at::Philox4_32& engine, double least, double most) {
  return least + (most - least) * (engine() / 4294967296.0);
}

/// 0..room, each equally likely.
double draw_place(at::Philox4_32& engine, double room) {
  return draw_below(engine, static_cast<std::uint32_t>(room) + 1);
}

}  // namespace

Region random_region(const ImageSize& size, at::Philox4_32& engine) {
  const auto height = static_cast<double>(size.height), width = static_cast<double>(size.width);
  Region region;
  for (int i = 0; i < kTries; ++i) {
    const double area = height * width * draw_between(engine, kLeastArea, 1);
    const double ratio = std::exp(draw_between(engine, std::log(kLeastRatio), -std::log(kLeastRatio)));
    region.height = std::round(std::sqrt(area / ratio));
    region.width = std::round(std::sqrt(area * ratio));
    if (region.height < 1 || region.width < 1 || region.height > height || region.width > width) continue;
    region.top = draw_place(engine, height - region.height);
    region.left = draw_place(engine, width - region.width);
    return region;
  }
  region.height = std::min(height, std::max(1.0, std::round(width / kLeastRatio)));
  region.width = std::min(width, std::max(1.0, std::round(height / kLeastRatio)));
  region.top = std::floor((height - region.height) / 2);
  region.left = std::floor((width - region.width) / 2);
  return region;
}

Region middle_region(const ImageSize& size, std::int64_t crop) {
  const auto height = static_cast<double>(size.height), width = static_cast<double>(size.width);
  const double resized = std::round(static_cast<double>(crop) * 256 / 224);
  const double side = static_cast<double>(crop) * std::min(height, width) / resized;
  return {(height - side) / 2, (width - side) / 2, side, side};
}

}  // namespace lamina
