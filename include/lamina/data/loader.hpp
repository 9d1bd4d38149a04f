#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "lamina/data/dataset.hpp"

namespace lamina {

/// One batch to make.
struct BatchRequest {
  bool training = true;    ///< false: from the test part, in order, unaugmented
  std::int64_t epoch = 0;  ///< chooses the order and the augmentation of a training batch
  std::int64_t first = 0;  ///< position of its first image in the epoch's order
  std::int64_t count = 0;  ///< images; the last batch of an epoch may be short
};

/// A batch as the first stage takes it.
struct Batch {
  at::Tensor x_BCHW;  ///< float32, normalised, in the loader's memory format
  at::Tensor y_B;     ///< int64
  /// uint8, the same crops and flips before they are normalised, what a decoder is to reproduce; undefined
  /// unless LoaderOptions::keep_image.
  at::Tensor image_BCHW{};
};

struct LoaderOptions {
  std::uint64_t seed = 0;
  int threads = 1;
  int ahead = 4;  ///< batches made ahead of take()
  bool augment = true;
  bool keep_image = false;  ///< batches carry Batch::image_BCHW too
  at::MemoryFormat format = at::MemoryFormat::ChannelsLast;
};

/// Makes batches ahead of the training, in the order of their requests.
///
/// Determinism  a batch depends on (seed, epoch, position) alone, not on threads or earlier batches.
/// Threads      take() from one thread; the loader's own threads do the work, each on one core.
/// Blocking     take() waits until its batch is ready. The destructor stops the threads.
/// Broken       an image that cannot be read is an Error{data} naming it. With DataSource::skip_broken
///              the next one of its part that can be read takes its place, label and all.
/// Errors       an Error thrown while a batch is made is rethrown by the take() that would return it.
class Loader {
 public:
  /// `next` yields the requests one by one and then nothing; it is called from the loader's threads, one at a
  /// time, ahead of take().
  Loader(DataSource source, LoaderOptions options, std::function<std::optional<BatchRequest>()> next);
  ~Loader();

  /// The next batch, or nothing when there are no more requests.
  std::optional<Batch> take();

  /// Images that could not be read so far and were replaced (DataSource::skip_broken), each counted once. A
  /// warning has named each.
  std::int64_t num_broken() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The loader's seed once a run has gone back to a checkpoint so often: for each number another order and
/// other augmentation; `seed` itself for none.
std::uint64_t seed_after_rollbacks(std::uint64_t seed, std::int64_t rollbacks);

/// The order of the training images in an epoch: a permutation of 0..size-1.
std::vector<std::int64_t> epoch_order(std::uint64_t seed, std::int64_t epoch, std::int64_t size);

}  // namespace lamina
