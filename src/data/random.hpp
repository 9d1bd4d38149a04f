#pragma once

#include <ATen/core/PhiloxRNGEngine.h>

#include <cstdint>
#include <vector>

namespace lamina {

/// What random numbers are for; each use has streams of its own.
enum class RandomUse : std::uint64_t {
  order = 1,
  augmentation,
  validation,
  synthetic_pattern,
  synthetic_noise,
  rollback
};

/// The generator of one (seed, use, group, item), e.g. the augmentation of item `position` in group `epoch`.
/// Counter-based, so that any item's numbers are at hand without drawing those before it. Streams of the
/// items of a group are 1024 numbers apart; one that needs more takes a group for itself.
inline at::Philox4_32 random_stream(std::uint64_t seed, RandomUse use, std::int64_t group = 0,
                                    std::int64_t item = 0) {
  const std::uint64_t subsequence = static_cast<std::uint64_t>(use) << 56 | static_cast<std::uint64_t>(group);
  return at::Philox4_32(seed, subsequence, static_cast<std::uint64_t>(item) << 8);
}

/// Uniform in 0..bound-1, without bias.
inline std::uint32_t draw_below(at::Philox4_32& engine, std::uint32_t bound) {
  // The high half of value * bound is uniform once the (2^32 mod bound) lowest products of each slot are
  // drawn again: Lemire, "Fast random integer generation in an interval", 2019.
  const std::uint32_t surplus = (0U - bound) % bound;
  std::uint64_t product = 0;
  do {
    product = std::uint64_t{engine()} * bound;
  } while (static_cast<std::uint32_t>(product) < surplus);
  return static_cast<std::uint32_t>(product >> 32);
}

/// A uniform permutation of 0..size-1. Own code, since std::shuffle may differ between standard libraries.
std::vector<std::int64_t> draw_permutation(at::Philox4_32 engine, std::int64_t size);

}  // namespace lamina
