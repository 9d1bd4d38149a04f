#include "data/synthetic.hpp"

#include <algorithm>

#include "data/random.hpp"
#include "lamina/data/memory_dataset.hpp"

namespace lamina {
namespace {

constexpr ImageShape kShape{3, 32, 32};
constexpr std::int64_t kNumClasses = 10;
constexpr std::uint64_t kSeed = 0;
constexpr std::int64_t kPatch = 8;  // as coarse as that, a pattern survives a random crop
constexpr std::int64_t kPatternSpan = 96;
constexpr std::int64_t kNoiseSpan = 128;
static_assert(kPatternSpan + kNoiseSpan <= 256);

/// Mirror-symmetric, so that flipping changes no class.
std::vector<std::uint8_t> draw_pattern(std::int64_t label) {
  at::Philox4_32 engine = random_stream(kSeed, RandomUse::synthetic_pattern, label);
  const std::int64_t across = kShape.width / 2 / kPatch, down = kShape.height / kPatch;
  std::vector<std::uint8_t> patches(static_cast<std::size_t>(kShape.channels * down * across));
  for (std::uint8_t& patch : patches) patch = static_cast<std::uint8_t>(draw_below(engine, kPatternSpan));

  std::vector<std::uint8_t> pattern;
  for (std::int64_t c = 0; c < kShape.channels; ++c) {
    for (std::int64_t y = 0; y < kShape.height; ++y) {
      for (std::int64_t x = 0; x < kShape.width; ++x) {
        const std::int64_t from_edge = std::min(x, kShape.width - 1 - x);
        pattern.push_back(
            patches[static_cast<std::size_t>((c * down + y / kPatch) * across + from_edge / kPatch)]);
      }
    }
  }
  return pattern;
}

}  // namespace

std::shared_ptr<const Dataset> make_synthetic(bool training, std::int64_t size) {
  std::vector<std::vector<std::uint8_t>> patterns;
  for (std::int64_t label = 0; label < kNumClasses; ++label) patterns.push_back(draw_pattern(label));

  std::vector<std::uint8_t> pixels, labels;
  pixels.reserve(static_cast<std::size_t>(size * kShape.num_values()));
  at::Philox4_32 noise = random_stream(kSeed, RandomUse::synthetic_noise, training);
  for (std::int64_t i = 0; i < size; ++i) {
    labels.push_back(static_cast<std::uint8_t>(i % kNumClasses));
    for (const std::uint8_t value : patterns[labels.back()]) {
      pixels.push_back(static_cast<std::uint8_t>(value + draw_below(noise, kNoiseSpan)));
    }
  }
  return std::make_shared<MemoryDataset>(kShape, kNumClasses, std::move(pixels), std::move(labels));
}

}  // namespace lamina
