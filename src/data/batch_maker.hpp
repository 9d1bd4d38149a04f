#pragma once

#include <vector>

#include "data/augment.hpp"
#include "lamina/data/loader.hpp"

namespace lamina {

/// Makes one batch at a time from a data source.
///
/// Threads  const members may be called from any thread at once; none uses ATen's intra-op threads.
class BatchMaker {
 public:
  /// @throws Error{contract} unless the source's recipe fits its images.
  /// Of the options, those about threads are not for it.
  BatchMaker(DataSource source, const LoaderOptions& options);

  std::int64_t num_train() const { return source_.train->size(); }

  /// `order` is that of the training images in the request's epoch; for evaluation it may be null.
  /// @throws Error{contract} for a request beyond the part's images.
  Batch make(const BatchRequest& request, const std::vector<std::int64_t>* order) const;

 private:
  DataSource source_;
  LoaderOptions options_;
  Augmenter training_;
  Augmenter evaluation_;
};

}  // namespace lamina
