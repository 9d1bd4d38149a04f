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
  std::int64_t validation = 0;   ///< > 0: held-out training images replace the test set
  std::int64_t train_limit = 0;  ///< > 0: only the first so many training images
  std::int64_t test_limit = 0;   ///< > 0: only the first so many test images
  std::int64_t loader_threads = 1;
  bool augment = true;
  void visit(FieldVisitor& v);
};

/// What is known of a data set by its name alone, without reading it.
struct DataTraits {
  ImageShape shape;
  std::int64_t num_classes = 0;
};

/// @throws Error{config} for a name not known, with the nearest one.
DataTraits data_traits(const DataConfig& config);

/// Reads the data set's files into memory.
///
/// With `validation: n`, n training images chosen by a fixed permutation (independent of the seed) become the
/// test part and leave the training part; the real test images are not read.
/// @throws Error{data} naming file, what was expected and what was found: missing, truncated, label out of
/// range.
DataSource open_data(const DataConfig& config);

}  // namespace lamina
