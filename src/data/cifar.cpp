#include "data/cifar.hpp"

#include <fmt/format.h>

#include "data/gz_file.hpp"
#include "lamina/core/error.hpp"
#include "lamina/data/memory_dataset.hpp"

namespace lamina {

std::shared_ptr<const Dataset> read_cifar(const std::vector<std::filesystem::path>& files,
                                          const CifarLayout& layout) {
  constexpr ImageShape kShape{3, 32, 32};
  const std::int64_t record_bytes = layout.num_label_bytes + kShape.num_values();
  const std::size_t num_records = files.size() * static_cast<std::size_t>(layout.records_per_file);
  std::vector<std::uint8_t> pixels, labels;
  pixels.reserve(num_records * static_cast<std::size_t>(kShape.num_values()));
  labels.reserve(num_records);
  for (const std::filesystem::path& path : files) {
    GzFile file(path);
    const std::vector<std::uint8_t> bytes = file.read(layout.records_per_file * record_bytes);
    file.expect_end();
    for (std::int64_t i = 0; i < layout.records_per_file; ++i) {
      const auto image = bytes.begin() + i * record_bytes + layout.num_label_bytes;
      const std::uint8_t label = image[-1];
      if (label >= layout.num_classes) {
        throw Error(ErrorKind::data, fmt::format("{}: record {}: expected a label in 0..{}, found {}",
                                                 path.string(), i, layout.num_classes - 1, label));
      }
      labels.push_back(label);
      pixels.insert(pixels.end(), image, image + kShape.num_values());
    }
  }
  return std::make_shared<MemoryDataset>(kShape, layout.num_classes, std::move(pixels), std::move(labels));
}

}  // namespace lamina
