#include "data/known_data.hpp"

#include <fmt/format.h>

#include <system_error>

#include "data/cifar.hpp"
#include "data/fashion_mnist.hpp"
#include "data/image_folder.hpp"
#include "data/stl10.hpp"
#include "data/svhn.hpp"
#include "data/synthetic.hpp"
#include "lamina/core/error.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;

using Paths = std::vector<fs::path>;

/// Mean and standard deviation as the literature writes them for CIFAR-10: of values in 0..255.
Recipe cifar10_recipe() {
  Recipe recipe{Recipe::Pad::reflect, 4, true, {125.3, 123.0, 113.9}, {63.0, 62.1, 66.7}};
  for (double& mean : recipe.mean) mean /= 255;
  for (double& std : recipe.std) std /= 255;
  return recipe;
}

template <class Read>
KnownPart part_of(std::vector<std::string> files, Read read) {
  return {files, [files, read](const fs::path& folder, const DataConfig&) {
            Paths paths;
            for (const std::string& file : files) paths.push_back(folder / file);
            return read(paths);
          }};
}

KnownPart cifar(std::vector<std::string> files, const CifarLayout& layout) {
  return part_of(std::move(files), [layout](const Paths& paths) { return read_cifar(paths, layout); });
}

KnownPart fashion_mnist(const std::string& prefix) {
  return part_of({prefix + "-images-idx3-ubyte.gz", prefix + "-labels-idx1-ubyte.gz"},
                 [](const Paths& paths) { return read_fashion_mnist(paths[0], paths[1]); });
}

KnownPart stl10(const std::string& prefix) {
  return part_of({prefix + "_X.bin", prefix + "_y.bin"},
                 [](const Paths& paths) { return read_stl10(paths[0], paths[1]); });
}

KnownPart svhn(const std::string& file) {
  return part_of({file}, [](const Paths& paths) { return read_svhn(paths[0]); });
}

constexpr const char* kTrainFolder = "train";

KnownPart image_folder_train() {
  return {{kTrainFolder}, [](const fs::path& folder, const DataConfig& config) {
            return open_image_folder(folder / kTrainFolder, class_names(folder / kTrainFolder), config.image);
          }};
}

KnownPart image_folder_test() {
  return {{}, [](const fs::path& folder, const DataConfig& config) {
            for (const char* const name : {"val", "test"}) {
              std::error_code unreadable_counts_as_absent;
              if (!fs::is_directory(folder / name, unreadable_counts_as_absent)) continue;
              return open_image_folder(folder / name, class_names(folder / kTrainFolder), config.image);
            }
            throw Error(ErrorKind::data, fmt::format("{}: expected a folder val or test beside train, found "
                                                     "neither; or set data.validation",
                                                     folder.string()));
          }};
}

KnownPart synthetic(bool training, std::int64_t size) {
  return part_of({}, [=](const Paths&) { return make_synthetic(training, size); });
}

}  // namespace

const std::vector<KnownData>& known_data() {
  static const std::vector<KnownData> known = {
      {.name = "cifar10",
       .traits = {{{3, 32, 32}, 10}},
       .recipe = cifar10_recipe(),
       .folder = "cifar-10-batches-bin",
       .system_folder = "",
       .remedy = "run launch/fetch_data cifar10",
       .train = cifar({"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                       "data_batch_5.bin"},
                      {.num_label_bytes = 1, .num_classes = 10, .records_per_file = 10000}),
       .test =
           cifar({"test_batch.bin"}, {.num_label_bytes = 1, .num_classes = 10, .records_per_file = 10000})},
      {.name = "cifar100",
       .traits = {{{3, 32, 32}, 100}},
       .recipe = {Recipe::Pad::reflect, 4, true, {0.5071, 0.4867, 0.4408}, {0.2675, 0.2565, 0.2761}},
       .folder = "cifar-100-binary",
       .system_folder = "",
       .remedy = "run launch/fetch_data cifar100",
       .train = cifar({"train.bin"}, {.num_label_bytes = 2, .num_classes = 100, .records_per_file = 50000}),
       .test = cifar({"test.bin"}, {.num_label_bytes = 2, .num_classes = 100, .records_per_file = 10000})},
      // Mean and deviation of the padded training images, as the test of the real files recomputes them; of
      // the 28x28 pixels alone they are 0.2860 and 0.3530.
      {.name = "fashion-mnist",
       .traits = {{{3, 32, 32}, 10}},
       .recipe = {Recipe::Pad::zero, 2, true, {0.2190, 0.2190, 0.2190}, {0.3318, 0.3318, 0.3318}},
       .folder = "fashion-mnist",
       .system_folder = "/usr/share/datasets/fashion-mnist",
       .remedy = "install Debian's package dataset-fashion-mnist",
       .train = fashion_mnist("train"),
       .test = fashion_mnist("t10k")},
      {.name = "stl10",
       .traits = {{{3, 96, 96}, 10}},
       .recipe = {Recipe::Pad::zero, 4, true, {0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}},
       .folder = "stl10_binary",
       .system_folder = "",
       .remedy = "run launch/fetch_data stl10",
       .train = stl10("train"),
       .test = stl10("test")},
      {.name = "svhn",
       .traits = {{{3, 32, 32}, 10}},
       .recipe = {Recipe::Pad::zero, 2, false, {0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}},
       .folder = "svhn",
       .system_folder = "",
       .remedy = "run launch/fetch_data svhn",
       .train = svhn("train_32x32.mat"),
       .test = svhn("test_32x32.mat")},
      {.name = "imagefolder",
       .traits = {},
       .recipe = {Recipe::Pad::none, 0, true, {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}},
       .folder = "imagenette",
       .system_folder = "",
       .remedy = "set data.root and data.folder to where train/CLASS/*.JPEG and val/CLASS/*.JPEG lie",
       .train = image_folder_train(),
       .test = image_folder_test()},
      {.name = "synthetic",
       .traits = {{{3, 32, 32}, 10}},
       .recipe = {Recipe::Pad::reflect, 2, true, {0.435, 0.435, 0.435}, {0.18, 0.18, 0.18}},
       .folder = "",
       .system_folder = "",
       .remedy = "",
       .train = synthetic(true, 2048),
       .test = synthetic(false, 512)},
  };
  return known;
}

}  // namespace lamina
