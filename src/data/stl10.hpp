#pragma once

#include <filesystem>
#include <memory>

#include "lamina/data/dataset.hpp"

namespace lamina {

/// Reads one part of STL-10's labelled images, 3x96x96, into memory: as many as the files hold. Their labels
/// 1..10 become 0..9. The format: https://cs.stanford.edu/~acoates/stl10/ .
/// @throws Error{data} for a file cut within an image, a label out of range, or other than one label an
/// image.
std::shared_ptr<const Dataset> read_stl10(const std::filesystem::path& images,
                                          const std::filesystem::path& labels);

}  // namespace lamina
