#pragma once

#include <ATen/core/PhiloxRNGEngine.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lamina/core/shape.hpp"

namespace lamina {

using ImageShape = FeatureShape;

/// Labelled 8-bit images. Whatever their size in store, all are read in one shape.
///
/// Threads  const members may be called from any thread at once.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual std::int64_t size() const = 0;
  virtual ImageShape shape() const = 0;
  virtual std::int64_t num_classes() const = 0;
  /// In 0..num_classes()-1.
  virtual std::int64_t label(std::int64_t index) const = 0;
  /// Writes image `index` to `chw`, which has shape().num_values() bytes, channel by channel.
  /// @throws Error{data} naming the file, where it is only now that one is read and it is broken.
  virtual void read(std::int64_t index, std::span<std::uint8_t> chw) const = 0;
  /// The same for training with augmentation: of images stored in other sizes a part that the engine chooses,
  /// with up to 64 of its numbers.
  virtual void read_random_part(std::int64_t index, at::Philox4_32&, std::span<std::uint8_t> chw) const {
    read(index, chw);
  }
};

/// How images become a network's input: the augmentation of docs/method.md, Recipe, as data.
struct Recipe {
  enum class Pad { none, zero, reflect };
  Pad pad = Pad::none;  ///< training only, around the image before the random crop
  std::int64_t pad_pixels = 0;
  bool flip = false;         ///< training only, horizontally with probability 1/2
  std::vector<double> mean;  ///< per channel, of values in [0,1]
  std::vector<double> std;
};

/// A data set's two parts and its recipe.
struct DataSource {
  std::string name;
  std::shared_ptr<const Dataset> train;
  std::shared_ptr<const Dataset> test;
  Recipe recipe;
  bool skip_broken = false;  ///< an image that cannot be read is replaced by the next one that can
};

}  // namespace lamina
