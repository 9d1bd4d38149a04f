#pragma once

#include <memory>

#include "lamina/data/dataset.hpp"

namespace lamina {

/// A set that needs no files and that a small network learns in an epoch: 10 classes of 3x32x32 images, each
/// the class's own coarse pattern under noise. Always the same images; the classes take turns.
std::shared_ptr<const Dataset> make_synthetic(bool training, std::int64_t size);

}  // namespace lamina
