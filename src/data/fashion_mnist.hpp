#pragma once

#include <filesystem>
#include <memory>

#include "lamina/data/dataset.hpp"

namespace lamina {

/// Reads one part of Fashion-MNIST: 28x28 grey images, shown as 3x32x32, zero-padded, with three equal
/// channels.
/// @throws Error{data} for a damaged file, a label out of range, or other than one label an image.
std::shared_ptr<const Dataset> read_fashion_mnist(const std::filesystem::path& images,
                                                  const std::filesystem::path& labels);

}  // namespace lamina
