#include "lamina/data/memory_dataset.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lamina/core/error.hpp"

namespace lamina {

MemoryDataset::MemoryDataset(ImageShape shape, std::int64_t num_classes, std::vector<std::uint8_t> pixels,
                             std::vector<std::uint8_t> labels)
    : shape_(shape), num_classes_(num_classes), pixels_(std::move(pixels)), labels_(std::move(labels)) {
  const std::int64_t expected = size() * shape_.num_values();
  if (static_cast<std::int64_t>(pixels_.size()) != expected) {
    throw Error(ErrorKind::contract, fmt::format("MemoryDataset: expected {} pixels for {} labels, found {}",
                                                 expected, size(), pixels_.size()));
  }
  const auto largest = std::ranges::max_element(labels_);
  if (largest != labels_.end() && *largest >= num_classes_) {
    throw Error(ErrorKind::contract, fmt::format("MemoryDataset: expected labels in 0..{}, found {} at {}",
                                                 num_classes_ - 1, *largest, largest - labels_.begin()));
  }
}

void MemoryDataset::read(std::int64_t index, std::span<std::uint8_t> chw) const {
  std::copy_n(pixels_.begin() + index * shape_.num_values(), shape_.num_values(), chw.begin());
}

}  // namespace lamina
