#include <ATen/core/PhiloxRNGEngine.h>

#include <fstream>
#include <vector>

#include "data/image_folder.hpp"
#include "fuzz/fuzz_target.hpp"
#include "temporary_directory.hpp"

namespace lamina {
namespace {

constexpr std::int64_t kSide = 32;

/// A folder of images that holds one, on its way into a batch.
class OneImage {
 public:
  OneImage() {
    std::filesystem::create_directory(folder_.path() / "class");
    write("");
    dataset_ = open_image_folder(folder_.path(), {"class"}, kSide);
  }

  bool takes(std::string_view bytes) {
    write(bytes);
    std::vector<std::uint8_t> chw(3 * kSide * kSide);
    at::Philox4_32 engine(1);
    const bool whole = taken([&] { dataset_->read(0, chw); });
    const bool part = taken([&] { dataset_->read_random_part(0, engine, chw); });
    return whole && part;
  }

 private:
  void write(std::string_view bytes) const {
    std::ofstream(folder_.path() / "class" / "image.jpg", std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

  TemporaryDirectory folder_;
  std::shared_ptr<const Dataset> dataset_;
};

}  // namespace

// JPEG or PNG, which the first bytes tell apart: two targets, whose corpora keep them apart.
bool fuzz_image(std::string_view bytes) {
  static OneImage image;
  return image.takes(bytes);
}

}  // namespace lamina
