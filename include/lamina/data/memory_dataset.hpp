#pragma once

#include "lamina/data/dataset.hpp"

namespace lamina {

/// A data set held in memory: what the readers return, and what a test makes its small sets with.
class MemoryDataset : public Dataset {
 public:
  /// `pixels` holds the images one after the other, each channel by channel; `labels` one byte an image.
  /// @throws Error{contract} unless there are shape.num_values() pixels a label and labels below
  /// `num_classes`.
  MemoryDataset(ImageShape shape, std::int64_t num_classes, std::vector<std::uint8_t> pixels,
                std::vector<std::uint8_t> labels);

  std::int64_t size() const override { return static_cast<std::int64_t>(labels_.size()); }
  ImageShape shape() const override { return shape_; }
  std::int64_t num_classes() const override { return num_classes_; }
  std::int64_t label(std::int64_t index) const override { return labels_[static_cast<std::size_t>(index)]; }
  void read(std::int64_t index, std::span<std::uint8_t> chw) const override;

 private:
  ImageShape shape_;
  std::int64_t num_classes_;
  std::vector<std::uint8_t> pixels_;
  std::vector<std::uint8_t> labels_;
};

}  // namespace lamina
