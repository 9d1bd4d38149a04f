#include "data/resample.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "data/decode.hpp"
#include "data/image_files.hpp"

namespace lamina {
namespace {

Region whole(const ImageSize& size) {
  return {0, 0, static_cast<double>(size.height), static_cast<double>(size.width)};
}

/// CHW, as doubles.
at::Tensor resampled(const Pixels& pixels, const Region& region, std::int64_t side) {
  Bytes chw(static_cast<std::size_t>(3 * side * side));
  resample(pixels, region, side, chw);
  return at::tensor(at::ArrayRef<std::uint8_t>(chw), at::kDouble).view({3, side, side});
}

at::Tensor as_tensor(const Pixels& pixels) {
  return at::tensor(at::ArrayRef<std::uint8_t>(pixels.rgb), at::kDouble)
      .view({pixels.size.height, pixels.size.width, 3})
      .permute({2, 0, 1});
}

Pixels varied(const ImageSize& size) {
  return {size, varied_bytes(static_cast<std::size_t>(size.height * size.width * 3))};
}

TEST(Resample, OfAnImageAsItIsChangesNothing) {
  const Pixels pixels = varied({31, 31});
  EXPECT_TRUE(at::equal(resampled(pixels, whole(pixels.size), 31), as_tensor(pixels)));
}

TEST(Resample, EqualsATensAntialiasedBilinearWhetherItShrinksOrEnlarges) {
  for (const ImageSize& size : {ImageSize{90, 67}, ImageSize{33, 200}, ImageSize{17, 9}, ImageSize{1, 5}}) {
    const Pixels pixels = varied(size);
    const at::Tensor expected =
        at::_upsample_bilinear2d_aa(as_tensor(pixels).unsqueeze(0).contiguous(), {32, 32}, false)[0];
    // Rounding to whole numbers, and float against double.
    EXPECT_LT((resampled(pixels, whole(size), 32) - expected).abs().max().item<double>(), 0.51);
  }
}

TEST(Resample, PutsARegionWhereItIs) {
  // On a plane, every mean under a symmetric triangle is the value in its middle.
  Pixels pixels{{80, 120}, {}};
  for (std::int64_t y = 0; y < 80; ++y) {
    for (std::int64_t x = 0; x < 120; ++x) {
      pixels.rgb.insert(pixels.rgb.end(),
                        {static_cast<std::uint8_t>(2 * y), static_cast<std::uint8_t>(2 * x), 0});
    }
  }
  const Region region{20.25, 31.5, 40, 60.5};
  const at::Tensor found = resampled(pixels, region, 16);
  for (std::int64_t y = 0; y < 16; ++y) {
    for (std::int64_t x = 0; x < 16; ++x) {
      const auto along = [](double start, double length, std::int64_t i) {
        return 2 * (start + (static_cast<double>(i) + 0.5) * length / 16 - 0.5);
      };
      EXPECT_NEAR(found[0][y][x].item<double>(), along(region.top, region.height, y), 0.6);
      EXPECT_NEAR(found[1][y][x].item<double>(), along(region.left, region.width, x), 0.6);
    }
  }
}

TEST(Resample, OfASmallerDecodeIsCloseToThatOfTheFullOne) {
  const ImageSize size{301, 413};
  Bytes rgb = smooth_rgb(size);
  const Bytes noise = varied_bytes(rgb.size());
  for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<std::uint8_t>(rgb[i] + noise[i] % 16);
  const Bytes file = jpeg_file(size, rgb);
  const auto resampled_at = [&](double scale) {
    const Pixels pixels = decode_image(file, "photo", [&](const ImageSize&) { return scale; });
    EXPECT_EQ(pixels.scale, scale);
    const Region region{30, 50, 200, 240};
    return resampled(
        pixels, {region.top * scale, region.left * scale, region.height * scale, region.width * scale}, 50);
  };
  const at::Tensor full = resampled_at(1);
  for (const double scale : {0.5, 0.25}) {
    EXPECT_LT((resampled_at(scale) - full).abs().mean().item<double>(), 1);
    EXPECT_LT((resampled_at(scale) - full).abs().max().item<double>(), 5);
  }
}

}  // namespace
}  // namespace lamina
