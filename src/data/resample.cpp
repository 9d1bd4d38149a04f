#include "data/resample.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace lamina {
namespace {

/// The pixels first, first+1, ... of a line that make up one pixel of the resized line.
struct Taps {
  std::int64_t first = 0;
  std::vector<float> weights;
};

/// Those of every resized pixel, where `length` of the line from `start` on becomes `side` pixels.
std::vector<Taps> make_taps(std::int64_t line, double start, double length, std::int64_t side) {
  const double step = length / static_cast<double>(side);
  const double reach = std::max(step, 1.0);
  std::vector<Taps> taps(static_cast<std::size_t>(side));
  for (std::size_t i = 0; i < taps.size(); ++i) {
    const double middle = start + (static_cast<double>(i) + 0.5) * step;
    const auto first = static_cast<std::int64_t>(std::floor(middle - reach + 0.5));
    const auto last = static_cast<std::int64_t>(std::ceil(middle + reach - 0.5));
    taps[i].first = std::clamp<std::int64_t>(first, 0, line - 1);
    double sum = 0;
    for (std::int64_t k = taps[i].first; k <= std::min(last, line - 1); ++k) {
      const double distance = std::abs(static_cast<double>(k) + 0.5 - middle) / reach;
      taps[i].weights.push_back(static_cast<float>(std::max(0.0, 1 - distance)));
      sum += taps[i].weights.back();
    }
    for (float& weight : taps[i].weights) weight /= static_cast<float>(sum);
  }
  return taps;
}

}  // namespace

void resample(const Pixels& pixels, const Region& region, std::int64_t side, std::span<std::uint8_t> chw) {
  const std::vector<Taps> rows = make_taps(pixels.size.height, region.top, region.height, side);
  const std::vector<Taps> columns = make_taps(pixels.size.width, region.left, region.width, side);
  const std::int64_t first_column = columns.front().first;
  const std::int64_t end_column =
      columns.back().first + static_cast<std::int64_t>(columns.back().weights.size());
  std::vector<float> line(static_cast<std::size_t>(3 * (end_column - first_column)));
  for (std::int64_t y = 0; y < side; ++y) {
    const Taps& row = rows[static_cast<std::size_t>(y)];
    std::ranges::fill(line, 0.0F);
    const std::uint8_t* from = pixels.rgb.data() + 3 * (row.first * pixels.size.width + first_column);
    for (const float weight : row.weights) {
      for (std::size_t k = 0; k < line.size(); ++k) line[k] += weight * static_cast<float>(from[k]);
      from += 3 * pixels.size.width;
    }
    for (std::int64_t x = 0; x < side; ++x) {
      const Taps& column = columns[static_cast<std::size_t>(x)];
      const float* value = line.data() + 3 * (column.first - first_column);
      float red = 0.5F, green = 0.5F, blue = 0.5F;
      for (const float weight : column.weights) {
        red += weight * *value++;
        green += weight * *value++;
        blue += weight * *value++;
      }
      std::uint8_t* to = chw.data() + y * side + x;
      for (const float channel : {red, green, blue}) {
        *to = static_cast<std::uint8_t>(std::min(channel, 255.0F));
        to += side * side;
      }
    }
  }
}

}  // namespace lamina
