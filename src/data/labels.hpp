#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

namespace lamina {

/// @throws Error{data} with the file and the record of the first label outside first..last.
void require_labels(std::span<const std::uint8_t> labels, int first, int last,
                    const std::filesystem::path& file);

/// @throws Error{data} unless there is one label an image.
void require_one_label_an_image(std::int64_t num_labels, const std::filesystem::path& labels,
                                std::int64_t num_images, const std::filesystem::path& images);

}  // namespace lamina
