#pragma once

#include <filesystem>
#include <memory>

#include "lamina/data/dataset.hpp"

namespace lamina {

/// Reads one part of SVHN's cropped digits, a MATLAB 5 file with the variables `X` (uint8, 32x32x3xN) and `y`
/// (uint8, N labels 1..10, where 10 is the digit 0), into memory: 3x32x32, labels 0..9.
/// The format: http://ufldl.stanford.edu/housenumbers/ .
/// @throws Error{data} for a file that is no MATLAB file or cut short, a variable that is missing or of
/// another type or size, or a label out of range.
std::shared_ptr<const Dataset> read_svhn(const std::filesystem::path& file);

}  // namespace lamina
