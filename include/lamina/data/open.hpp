#pragma once

#include <cstdint>
#include <string>

#include "lamina/core/config.hpp"
#include "lamina/data/dataset.hpp"

namespace lamina {

/// Which images, and where they lie.
struct DataConfig {
  std::string name = "cifar10";
  std::string root{};            ///< empty: $LAMINA_DATA, then ~/.cache/lamina/data
  std::string folder{};          ///< below the root, or a whole path; empty: as the data set is called
  std::int64_t classes = 0;      ///< of an image folder; 0: as many as it has
  std::int64_t image = 224;      ///< side of what an image folder's images become
  std::int64_t validation = 0;   ///< > 0: held-out training images replace the test set
  std::int64_t train_limit = 0;  ///< > 0: only the first so many training images
  std::int64_t test_limit = 0;   ///< > 0: only the first so many test images
  std::int64_t loader_threads = 1;
  bool augment = true;
  std::string broken = "fatal";  ///< an image that cannot be read ends the run; "skip": it is replaced
  void visit(FieldVisitor& v);
};

/// What is known of a data set without reading it.
struct DataTraits {
  ImageShape shape;
  std::int64_t num_classes = 0;
};

/// Of an image folder whose number of classes is not given, the names of the folders are read.
/// @throws Error{config} for a name not known, with the nearest one. Error{data} for no such image folder.
DataTraits data_traits(const DataConfig& config);

/// How the data set's images become a network's input.
Recipe data_recipe(const DataConfig& config);

/// Reads the data set's files into memory; of an image folder, the names of the files only.
///
/// With `validation: n`, n training images chosen by a fixed permutation (independent of the seed) become the
/// test part and leave the training part; the real test images are not read.
/// @throws Error{data} naming file, what was expected and what was found: missing, truncated, label out of
/// range.
DataSource open_data(const DataConfig& config);

}  // namespace lamina
