#include "data/image_folder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <system_error>

#include "data/decode.hpp"
#include "data/file_bytes.hpp"
#include "data/region.hpp"
#include "data/resample.hpp"
#include "lamina/core/error.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;

bool is_image(const fs::directory_entry& entry) {
  constexpr std::array<std::string_view, 3> kExtensions = {".jpeg", ".jpg", ".png"};
  std::string extension = entry.path().extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return std::ranges::count(kExtensions, extension) && !entry.is_directory();
}

/// The names of the folder's entries that are wanted and not hidden, sorted.
template <class IsWanted>
std::vector<std::string> list(const fs::path& folder, IsWanted is_wanted) {
  std::vector<std::string> names;
  try {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      std::string name = entry.path().filename().string();
      if (name.front() != '.' && is_wanted(entry)) names.push_back(std::move(name));
    }
  } catch (const fs::filesystem_error& error) {
    throw Error(ErrorKind::data, fmt::format("{}: expected a folder of images, found: {}", folder.string(),
                                             error.code().message()));
  }
  std::ranges::sort(names);
  return names;
}

class ImageFolder : public Dataset {
 public:
  ImageFolder(fs::path folder, const std::vector<std::string>& classes, std::int64_t side)
      : folder_(std::move(folder)), classes_(classes), side_(side) {}

  void add(std::int64_t label, std::vector<std::string> names) {
    for (std::string& name : names) images_.push_back({label, std::move(name)});
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(images_.size()); }
  ImageShape shape() const override { return {3, side_, side_}; }
  std::int64_t num_classes() const override { return static_cast<std::int64_t>(classes_.size()); }
  std::int64_t label(std::int64_t index) const override { return image(index).label; }

  void read(std::int64_t index, std::span<std::uint8_t> chw) const override {
    read(index, chw, [&](const ImageSize& size) { return middle_region(size, side_); });
  }
  void read_random_part(std::int64_t index, at::Philox4_32& engine,
                        std::span<std::uint8_t> chw) const override {
    read(index, chw, [&](const ImageSize& size) { return random_region(size, engine); });
  }

 private:
  struct Image {
    std::int64_t label;
    std::string name;
  };
  const Image& image(std::int64_t index) const { return images_[static_cast<std::size_t>(index)]; }

  template <class ChooseRegion>
  void read(std::int64_t index, std::span<std::uint8_t> chw, ChooseRegion choose) const {
    const fs::path path = folder_ / classes_[static_cast<std::size_t>(label(index))] / image(index).name;
    Region region;
    const Pixels pixels = decode_image(read_bytes(path), path.string(), [&](const ImageSize& size) {
      region = choose(size);
      return static_cast<double>(side_) / std::min(region.height, region.width);
    });
    for (double* const length : {&region.top, &region.left, &region.height, &region.width}) {
      *length *= pixels.scale;
    }
    resample(pixels, region, side_, chw);
  }

  fs::path folder_;
  std::vector<std::string> classes_;
  std::int64_t side_;
  std::vector<Image> images_;
};

}  // namespace

std::vector<std::string> class_names(const fs::path& folder) {
  std::vector<std::string> names = list(folder, [](const auto& entry) { return entry.is_directory(); });
  if (!names.empty()) return names;
  throw Error(ErrorKind::data,
              fmt::format("{}: expected a folder for each class, found none", folder.string()));
}

std::shared_ptr<const Dataset> open_image_folder(const fs::path& folder,
                                                 const std::vector<std::string>& classes, std::int64_t side) {
  auto dataset = std::make_shared<ImageFolder>(folder, classes, side);
  for (const std::string& name : class_names(folder)) {
    const auto known = std::ranges::lower_bound(classes, name);
    if (known == classes.end() || *known != name) {
      throw Error(ErrorKind::data, fmt::format("{}: expected one of the {} classes of the training part, "
                                               "found another",
                                               (folder / name).string(), classes.size()));
    }
    std::vector<std::string> images = list(folder / name, is_image);
    if (images.empty()) {
      throw Error(ErrorKind::data, fmt::format("{}: expected images (.JPEG, .jpg, .jpeg, .png), found none",
                                               (folder / name).string()));
    }
    dataset->add(known - classes.begin(), std::move(images));
  }
  return dataset;
}

}  // namespace lamina
