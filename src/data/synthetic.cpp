#include "data/synthetic.hpp"

#include <algorithm>
#include <bit>

#include "data/random.hpp"
#include "lamina/data/memory_dataset.hpp"

namespace lamina {
namespace {

constexpr ImageShape kSyntheticShape{3, 32, 32};
constexpr std::int64_t kSyntheticClasses = 10;
constexpr std::uint64_t kPatternSeed = 0;
constexpr std::int64_t kPatch = 8;  // as coarse as that, a pattern survives a random crop
constexpr std::int64_t kPatternSpan = 96;
constexpr std::int64_t kNoiseSpan = 128;
static_assert(kPatternSpan + kNoiseSpan <= 256);
static_assert(std::has_single_bit(static_cast<std::uint64_t>(kNoiseSpan)));

/// Mirror-symmetric, so that flipping changes no class.
std::vector<std::uint8_t> draw_pattern(std::int64_t label) {
  at::Philox4_32 engine = random_stream(kPatternSeed, RandomUse::synthetic_pattern, label);
  const std::int64_t across = kSyntheticShape.width / 2 / kPatch, down = kSyntheticShape.height / kPatch;
  std::vector<std::uint8_t> patches(static_cast<std::size_t>(kSyntheticShape.channels * down * across));
  for (std::uint8_t& patch : patches) patch = static_cast<std::uint8_t>(draw_below(engine, kPatternSpan));

  std::vector<std::uint8_t> pattern;
  for (std::int64_t c = 0; c < kSyntheticShape.channels; ++c) {
    for (std::int64_t y = 0; y < kSyntheticShape.height; ++y) {
      for (std::int64_t x = 0; x < kSyntheticShape.width; ++x) {
        const std::int64_t from_edge = std::min(x, kSyntheticShape.width - 1 - x);
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
  for (std::int64_t label = 0; label < kSyntheticClasses; ++label) patterns.push_back(draw_pattern(label));

  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(size * kSyntheticShape.num_values())), labels;
  at::Philox4_32 noise = random_stream(kPatternSeed, RandomUse::synthetic_noise, training);
  auto pixel = pixels.begin();
  for (std::int64_t i = 0; i < size; ++i) {
    labels.push_back(static_cast<std::uint8_t>(i % kSyntheticClasses));
    std::uint32_t bits = 0;
    for (std::size_t drawn = 0; const std::uint8_t value : patterns[labels.back()]) {
      bits = drawn++ % sizeof(bits) == 0 ? noise() : bits >> 8;  // a byte each: every small run waits for it
      *pixel++ = static_cast<std::uint8_t>(value + bits % kNoiseSpan);
    }
  }
  return std::make_shared<MemoryDataset>(kSyntheticShape, kSyntheticClasses, std::move(pixels),
                                         std::move(labels));
}

}  // namespace lamina
