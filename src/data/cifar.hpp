#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "lamina/data/dataset.hpp"

namespace lamina {

/// The layout of CIFAR's binary files: records of some label bytes and a 3x32x32 image, channel by channel.
/// The format: https://www.cs.toronto.edu/~kriz/cifar.html .
struct CifarLayout {
  std::int64_t num_label_bytes = 1;  ///< the last of them is the label: CIFAR-100 puts the coarse one first
  std::int64_t num_classes = 10;
  std::int64_t records_per_file = 10000;
};

/// Reads the files' records, in order, into memory.
/// @throws Error{data} for a file of another length, or a label out of range with its record.
std::shared_ptr<const Dataset> read_cifar(const std::vector<std::filesystem::path>& files,
                                          const CifarLayout& layout);

}  // namespace lamina
