#pragma once

#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "data/augment.hpp"
#include "lamina/core/error.hpp"
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
  std::int64_t num_broken() const;

  /// `order` is that of the training images in the request's epoch; for evaluation it may be null.
  /// @throws Error{contract} for a request beyond the part's images.
  Batch make(const BatchRequest& request, const std::vector<std::int64_t>* order) const;

 private:
  /// An image as it is read, the label that goes with it, and the generator for its crop and flip.
  struct Drawn {
    std::int64_t label;
    at::Philox4_32 engine;
  };
  /// Reads the image that stands at a position, or the one that takes its place.
  Drawn read(const BatchRequest& request, std::int64_t position, std::int64_t index,
             std::span<std::uint8_t> image) const;
  bool is_broken(bool training, std::int64_t index) const;
  void note_broken(bool training, std::int64_t index, const Error& error) const;

  DataSource source_;
  LoaderOptions options_;
  Augmenter training_;
  Augmenter evaluation_;
  mutable std::mutex broken_mutex_;
  mutable std::set<std::pair<bool, std::int64_t>> broken_;  // of the training part or not, and its index
};

}  // namespace lamina
