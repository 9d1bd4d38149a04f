#include "data/augment.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "data/random.hpp"
#include "lamina/core/error.hpp"

namespace lamina {
namespace {

/// Which of a line's `size` values stands at `i` of the padded line, -margin <= i < size + margin; -1: a
/// zero.
std::int64_t source(Recipe::Pad pad, std::int64_t i, std::int64_t size) {
  if (i >= 0 && i < size) return i;
  if (pad == Recipe::Pad::zero) return -1;
  return i < 0 ? -i : 2 * (size - 1) - i;
}

void require(bool fits, const Recipe& recipe, const ImageShape& shape) {
  if (fits) return;
  throw Error(
      ErrorKind::contract,
      fmt::format("recipe: expected a mean and a std > 0 for each of {} channels and padding in 0..{}, "
                  "found {}, {} and {}",
                  shape.channels, std::min(shape.height, shape.width) - 1, recipe.mean.size(),
                  recipe.std.size(), recipe.pad_pixels));
}

}  // namespace

Augmenter::Augmenter(ImageShape shape, const Recipe& recipe, bool training)
    : shape_(shape),
      pad_(recipe.pad),
      margin_(training && recipe.pad != Recipe::Pad::none ? recipe.pad_pixels : 0),
      flip_(training && recipe.flip) {
  const auto num_channels = static_cast<std::size_t>(shape.channels);
  require(recipe.mean.size() == num_channels && recipe.std.size() == num_channels &&
              std::ranges::all_of(recipe.std, [](double std) { return std > 0; }) && recipe.pad_pixels >= 0 &&
              recipe.pad_pixels < std::min(shape.height, shape.width),
          recipe, shape);
  padded_ = {shape.channels, shape.height + 2 * margin_, shape.width + 2 * margin_};
  normalised_.resize(num_channels);
  for (std::size_t c = 0; c < num_channels; ++c) {
    for (std::size_t value = 0; value < 256; ++value) {
      normalised_[c][value] =
          static_cast<float>((static_cast<double>(value) / 255 - recipe.mean[c]) / recipe.std[c]);
    }
  }
}

Crop Augmenter::draw(at::Philox4_32& engine) const {
  const auto num_places = static_cast<std::uint32_t>(2 * margin_ + 1);
  Crop crop;
  crop.top = draw_below(engine, num_places);
  crop.left = draw_below(engine, num_places);
  crop.flip = flip_ && draw_below(engine, 2) == 1;
  return crop;
}

void Augmenter::pad(std::span<const std::uint8_t> chw, std::span<std::uint8_t> padded) const {
  const std::uint8_t* plane = chw.data();
  std::uint8_t* to = padded.data();
  for (std::int64_t c = 0; c < shape_.channels; ++c, plane += shape_.height * shape_.width) {
    for (std::int64_t y = -margin_; y < shape_.height + margin_; ++y, to += padded_.width) {
      const std::int64_t source_y = source(pad_, y, shape_.height);
      if (source_y < 0) {
        std::fill_n(to, padded_.width, std::uint8_t{0});
        continue;
      }
      const std::uint8_t* row = plane + source_y * shape_.width;
      std::copy_n(row, shape_.width, to + margin_);
      const auto at = [&](std::int64_t x) {
        const std::int64_t source_x = source(pad_, x, shape_.width);
        return source_x < 0 ? std::uint8_t{0} : row[source_x];
      };
      for (std::int64_t i = 0; i < margin_; ++i) {
        to[i] = at(i - margin_);
        to[margin_ + shape_.width + i] = at(shape_.width + i);
      }
    }
  }
}

template <class Value, class Convert>
void Augmenter::copy(std::span<const std::uint8_t> padded, const Crop& crop, PlaneStrides strides, Value* out,
                     Convert convert) const {
  const std::int64_t step = crop.flip ? -1 : 1;
  const std::int64_t first_column = crop.left + (crop.flip ? shape_.width - 1 : 0);
  for (std::int64_t c = 0; c < shape_.channels; ++c) {
    const auto channel = convert(static_cast<std::size_t>(c));
    for (std::int64_t y = 0; y < shape_.height; ++y) {
      const std::uint8_t* from =
          padded.data() + (c * padded_.height + crop.top + y) * padded_.width + first_column;
      Value* to = out + c * strides.channel + y * strides.row;
      for (std::int64_t x = 0; x < shape_.width; ++x) to[x * strides.column] = channel(from[x * step]);
    }
  }
}

void Augmenter::write(std::span<const std::uint8_t> padded, const Crop& crop, PlaneStrides strides,
                      float* out) const {
  copy(padded, crop, strides, out, [&](std::size_t c) {
    return [table = normalised_[c].data()](std::uint8_t value) { return table[value]; };
  });
}

void Augmenter::write(std::span<const std::uint8_t> padded, const Crop& crop, PlaneStrides strides,
                      std::uint8_t* out) const {
  copy(padded, crop, strides, out, [](std::size_t) { return [](std::uint8_t value) { return value; }; });
}

}  // namespace lamina
