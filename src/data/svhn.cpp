#include "data/svhn.hpp"

#include "data/column_major.hpp"
#include "data/labels.hpp"
#include "data/mat_file.hpp"
#include "lamina/data/memory_dataset.hpp"

namespace lamina {

std::shared_ptr<const Dataset> read_svhn(const std::filesystem::path& path) {
  constexpr ImageShape kShape{3, 32, 32};
  constexpr int kNumClasses = 10;
  MatFile file(path);
  MatArray x = file.read("X", {32, 32, 3, MatFile::kAnySize});
  MatArray y = file.read("y", {MatFile::kAnySize, 1});
  require_labels(y.values, 1, kNumClasses, path);
  for (std::uint8_t& label : y.values) label %= kNumClasses;
  require_one_label_an_image(y.dims[0], path, x.dims[3], path);
  column_major_to_row_major(x.values, kShape);
  return std::make_shared<MemoryDataset>(kShape, kNumClasses, std::move(x.values), std::move(y.values));
}

}  // namespace lamina
