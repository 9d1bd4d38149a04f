#include "data/stl10.hpp"

#include <fmt/format.h>

#include "data/column_major.hpp"
#include "data/file_bytes.hpp"
#include "data/labels.hpp"
#include "lamina/core/error.hpp"
#include "lamina/data/memory_dataset.hpp"

namespace lamina {

std::shared_ptr<const Dataset> read_stl10(const std::filesystem::path& images,
                                          const std::filesystem::path& labels) {
  constexpr ImageShape kShape{3, 96, 96};
  constexpr int kNumClasses = 10;
  std::vector<std::uint8_t> labels_read = read_bytes(labels);
  require_labels(labels_read, 1, kNumClasses, labels);
  for (std::uint8_t& label : labels_read) --label;

  std::vector<std::uint8_t> pixels = read_bytes(images);
  const auto num_bytes = static_cast<std::int64_t>(pixels.size());
  if (num_bytes == 0 || num_bytes % kShape.num_values() != 0) {
    throw Error(ErrorKind::data, fmt::format("{}: expected whole images of {} bytes, found {} bytes",
                                             images.string(), kShape.num_values(), num_bytes));
  }
  require_one_label_an_image(static_cast<std::int64_t>(labels_read.size()), labels,
                             num_bytes / kShape.num_values(), images);
  column_major_to_row_major(pixels, kShape);
  return std::make_shared<MemoryDataset>(kShape, kNumClasses, std::move(pixels), std::move(labels_read));
}

}  // namespace lamina
