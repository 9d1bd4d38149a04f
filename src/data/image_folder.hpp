#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "lamina/data/dataset.hpp"

namespace lamina {

/// The classes of an image folder: the names of the folders in it, sorted. Hidden ones don't count.
/// @throws Error{data} if it cannot be listed or there are none.
std::vector<std::string> class_names(const std::filesystem::path& folder);

/// One part of an image folder: FOLDER/CLASS/*.{JPEG,jpg,jpeg,png}, in any case, labelled by the class's
/// place in `classes`, sorted by class and name. Only the names are held; an image is read and decoded each
/// time, as 3 x side x side: read() resizes the shorter side to 256/224 of `side` and takes the middle,
/// read_random_part() takes a random resized crop (data/region.hpp).
/// @throws Error{data} for a class that is not in `classes` or has no image.
std::shared_ptr<const Dataset> open_image_folder(const std::filesystem::path& folder,
                                                 const std::vector<std::string>& classes, std::int64_t side);

}  // namespace lamina
