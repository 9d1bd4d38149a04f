#include "data/batch_maker.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "data/random.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/log.hpp"

namespace lamina {
namespace {

void require_inside(const BatchRequest& request, const Dataset& part) {
  if (request.first >= 0 && request.count > 0 && request.first <= part.size() - request.count) return;
  throw Error(ErrorKind::contract,
              fmt::format("batch request: expected images among the {} of the {} part, found {} from {}",
                          part.size(), request.training ? "training" : "test", request.count, request.first));
}

}  // namespace

BatchMaker::BatchMaker(DataSource source, const LoaderOptions& options)
    : source_(std::move(source)),
      options_(options),
      training_(source_.train->shape(), source_.recipe, options.augment),
      evaluation_(source_.test->shape(), source_.recipe, false) {}

std::int64_t BatchMaker::num_broken() const {
  const std::lock_guard lock(broken_mutex_);
  return static_cast<std::int64_t>(broken_.size());
}

bool BatchMaker::is_broken(bool training, std::int64_t index) const {
  const std::lock_guard lock(broken_mutex_);
  return broken_.contains({training, index});
}

void BatchMaker::note_broken(bool training, std::int64_t index, const Error& error) const {
  const std::lock_guard lock(broken_mutex_);
  if (broken_.emplace(training, index).second) log_warning(fmt::format("skipped {}", error.what()));
}

BatchMaker::Drawn BatchMaker::read(const BatchRequest& request, std::int64_t position, std::int64_t index,
                                   std::span<std::uint8_t> image) const {
  const Dataset& part = request.training ? *source_.train : *source_.test;
  const bool random_part = request.training && options_.augment;
  for (std::int64_t i = 0; i < part.size(); ++i, index = (index + 1) % part.size()) {
    if (is_broken(request.training, index)) continue;
    Drawn drawn{part.label(index),
                random_stream(options_.seed, RandomUse::augmentation, request.epoch, position)};
    try {
      random_part ? part.read_random_part(index, drawn.engine, image) : part.read(index, image);
      return drawn;
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::data) throw;
      if (!source_.skip_broken) {
        throw Error(ErrorKind::data, fmt::format("{}; data.broken: skip goes on without it", error.what()));
      }
      note_broken(request.training, index, error);
    }
  }
  throw Error(ErrorKind::data,
              fmt::format("expected an image that can be read in the {} part of {}, found {} broken ones",
                          request.training ? "training" : "test", source_.name, part.size()));
}

Batch BatchMaker::make(const BatchRequest& request, const std::vector<std::int64_t>* order) const {
  const Dataset& part = request.training ? *source_.train : *source_.test;
  const Augmenter& augmenter = request.training ? training_ : evaluation_;
  require_inside(request, part);
  const ImageShape shape = part.shape();
  Batch batch;
  const auto images = at::TensorOptions().memory_format(options_.format);
  const std::vector<std::int64_t> sizes{request.count, shape.channels, shape.height, shape.width};
  batch.x_BCHW = at::empty(sizes, images.dtype(at::kFloat));
  if (options_.keep_image) batch.image_BCHW = at::empty(sizes, images.dtype(at::kByte));
  batch.y_B = at::empty({request.count}, at::kLong);
  const PlaneStrides strides{batch.x_BCHW.stride(1), batch.x_BCHW.stride(2), batch.x_BCHW.stride(3)};
  auto* const x = batch.x_BCHW.data_ptr<float>();
  auto* const kept = options_.keep_image ? batch.image_BCHW.data_ptr<std::uint8_t>() : nullptr;
  auto* const y = batch.y_B.data_ptr<std::int64_t>();

  std::vector<std::uint8_t> image(static_cast<std::size_t>(shape.num_values()));
  std::vector<std::uint8_t> padded(static_cast<std::size_t>(augmenter.padded_shape().num_values()));
  for (std::int64_t i = 0; i < request.count; ++i) {
    const std::int64_t position = request.first + i;
    const std::int64_t index = request.training ? (*order)[static_cast<std::size_t>(position)] : position;
    Drawn drawn = read(request, position, index, image);
    augmenter.pad(image, padded);
    const Crop crop = augmenter.draw(drawn.engine);
    augmenter.write(padded, crop, strides, x + i * shape.num_values());
    if (kept) augmenter.write(padded, crop, strides, kept + i * shape.num_values());
    y[i] = drawn.label;
  }
  return batch;
}

}  // namespace lamina
