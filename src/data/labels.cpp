#include "data/labels.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lamina/core/error.hpp"

namespace lamina {

void require_labels(std::span<const std::uint8_t> labels, int first, int last,
                    const std::filesystem::path& file) {
  const auto wrong =
      std::ranges::find_if(labels, [&](std::uint8_t label) { return label < first || label > last; });
  if (wrong == labels.end()) return;
  throw Error(ErrorKind::data, fmt::format("{}: record {}: expected a label in {}..{}, found {}",
                                           file.string(), wrong - labels.begin(), first, last, *wrong));
}

void require_one_label_an_image(std::int64_t num_labels, const std::filesystem::path& labels,
                                std::int64_t num_images, const std::filesystem::path& images) {
  if (num_labels == num_images) return;
  throw Error(ErrorKind::data, fmt::format("{}: expected {} labels, one for each image of {}, found {}",
                                           labels.string(), num_images, images.string(), num_labels));
}

}  // namespace lamina
