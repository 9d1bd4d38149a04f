#include "data/region.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "data/random.hpp"

namespace lamina {
namespace {

/// Regions drawn one from each of many streams, as training draws them.
std::vector<Region> draw(const ImageSize& size, std::int64_t count) {
  std::vector<Region> regions;
  for (std::int64_t item = 0; item < count; ++item) {
    at::Philox4_32 engine = random_stream(0, RandomUse::augmentation, 0, item);
    regions.push_back(random_region(size, engine));
  }
  return regions;
}

void expect_region(const Region& found, const Region& expected) {
  EXPECT_DOUBLE_EQ(found.top, expected.top);
  EXPECT_DOUBLE_EQ(found.left, expected.left);
  EXPECT_DOUBLE_EQ(found.height, expected.height);
  EXPECT_DOUBLE_EQ(found.width, expected.width);
}

TEST(RandomRegion, LiesInsideWithAnAreaAndARatioAsPromised) {
  for (const ImageSize& size : {ImageSize{375, 500}, ImageSize{500, 375}, ImageSize{1000, 1000}}) {
    const auto height = static_cast<double>(size.height), width = static_cast<double>(size.width);
    for (const Region& r : draw(size, 20'000)) {
      for (const double edge : {r.top, r.left, r.height, r.width}) ASSERT_EQ(edge, std::floor(edge));
      ASSERT_GE(std::min(r.top, r.left), 0);
      ASSERT_LE(r.top + r.height, height);
      ASSERT_LE(r.left + r.width, width);
      // Rounding the sides moves both a little.
      ASSERT_GT(r.height * r.width / (height * width), 0.079);
      ASSERT_GT(r.width / r.height, 0.745);
      ASSERT_LT(r.width / r.height, 1.345);
    }
  }
}

TEST(RandomRegion, IsUniformInAreaRatioAndPlace) {
  constexpr double kSide = 10'000;
  constexpr int kBins = 10;
  std::vector<int> areas(kBins), ratios(kBins), tops(kBins), lefts(kBins);
  const auto count = [](std::vector<int>& bins, double part) {
    if (part >= 0 && part < 1) ++bins[static_cast<std::size_t>(part * kBins)];
  };
  for (const Region& r : draw({10'000, 10'000}, 60'000)) {
    const double area = r.height * r.width / (kSide * kSide);
    if (area >= 0.74) continue;  // above, only some ratios fit
    count(areas, (area - 0.08) / (0.74 - 0.08));
    count(ratios, 0.5 + 0.5 * std::log(r.width / r.height) / std::log(4.0 / 3));
    count(tops, r.top / (kSide - r.height + 1));
    count(lefts, r.left / (kSide - r.width + 1));
  }
  for (const std::vector<int>& bins : {areas, ratios, tops, lefts}) {
    double sum = 0;
    for (const int n : bins) sum += n;
    EXPECT_GT(sum, 40'000);
    // Five standard deviations of a count, and the pixels at the edges of the bins.
    for (const int n : bins) EXPECT_NEAR(n, sum / kBins, 5 * std::sqrt(sum / kBins) + 20);
  }
}

TEST(RandomRegion, OfAnImageTooLongOrTooWideIsInTheMiddleWithTheNearestRatio) {
  expect_region(draw({20, 1000}, 1)[0], {0, 486, 20, 27});
  expect_region(draw({1000, 20}, 1)[0], {486, 0, 27, 20});
}

TEST(RandomRegion, OfTheSmallestImagesIsNotEmpty) {
  for (const ImageSize& size : {ImageSize{1, 1}, ImageSize{1, 2}, ImageSize{3, 1}}) {
    for (const Region& r : draw(size, 100)) {
      ASSERT_GE(std::min(r.height, r.width), 1);
      ASSERT_LE(r.top + r.height, static_cast<double>(size.height));
      ASSERT_LE(r.left + r.width, static_cast<double>(size.width));
    }
  }
}

TEST(RandomRegion, IsTheEnginesAlone) {
  const auto first = draw({375, 500}, 50), again = draw({375, 500}, 50);
  for (std::size_t i = 0; i < first.size(); ++i) expect_region(first[i], again[i]);
}

TEST(MiddleRegion, IsTheSquareThatStaysOfTheResizedImage) {
  expect_region(middle_region({256, 256}, 224), {16, 16, 224, 224});
  expect_region(middle_region({512, 1024}, 224), {32, 288, 448, 448});
  expect_region(middle_region({1024, 512}, 224), {288, 32, 448, 448});
  // 64 of a shorter side resized to 73.
  expect_region(middle_region({73, 100}, 64), {4.5, 18, 64, 64});
}

}  // namespace
}  // namespace lamina
