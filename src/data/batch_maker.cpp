#include "data/batch_maker.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "data/random.hpp"
#include "lamina/core/error.hpp"

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
    part.read(index, image);
    augmenter.pad(image, padded);
    at::Philox4_32 engine = random_stream(options_.seed, RandomUse::augmentation, request.epoch, position);
    const Crop crop = augmenter.draw(engine);
    augmenter.write(padded, crop, strides, x + i * shape.num_values());
    if (kept) augmenter.write(padded, crop, strides, kept + i * shape.num_values());
    y[i] = part.label(index);
  }
  return batch;
}

}  // namespace lamina
