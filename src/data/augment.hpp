#pragma once

#include <ATen/core/PhiloxRNGEngine.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "lamina/data/dataset.hpp"

namespace lamina {

/// Which part of the padded image becomes the input, and whether it is mirrored.
struct Crop {
  std::int64_t top = 0;
  std::int64_t left = 0;
  bool flip = false;
};

/// Where the values of one output image go: distances in values between neighbours of each dimension.
struct PlaneStrides {
  std::int64_t channel = 0;
  std::int64_t row = 0;
  std::int64_t column = 0;
};

/// Turns 8-bit images into normalised input: pads, crops, mirrors, and looks each value up in its channel's
/// table.
///
/// Threads  const members may be called from any thread at once.
class Augmenter {
 public:
  /// `training` false leaves out all but the normalisation.
  /// @throws Error{contract} unless the recipe fits the shape.
  Augmenter(ImageShape shape, const Recipe& recipe, bool training);

  /// The shape of what pad() writes.
  ImageShape padded_shape() const { return padded_; }

  /// A random crop, every place equally likely; each takes two numbers of the engine, or three with flips.
  Crop draw(at::Philox4_32& engine) const;

  void pad(std::span<const std::uint8_t> chw, std::span<std::uint8_t> padded) const;

  /// Writes the crop, normalised.
  void write(std::span<const std::uint8_t> padded, const Crop& crop, PlaneStrides strides, float* out) const;
  /// Writes the crop as it is.
  void write(std::span<const std::uint8_t> padded, const Crop& crop, PlaneStrides strides,
             std::uint8_t* out) const;

 private:
  /// Writes the crop; `convert(channel)` makes the function that every value of the channel goes through.
  template <class Value, class Convert>
  void copy(std::span<const std::uint8_t> padded, const Crop& crop, PlaneStrides strides, Value* out,
            Convert convert) const;

  ImageShape shape_;
  ImageShape padded_;
  Recipe::Pad pad_;
  std::int64_t margin_;
  bool flip_;
  std::vector<std::array<float, 256>> normalised_;  // per channel, of every 8-bit value
};

}  // namespace lamina
