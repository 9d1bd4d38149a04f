#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "data/data_files.hpp"
#include "lamina/data/open.hpp"

namespace lamina {
namespace {

struct ImageSet {
  std::string name;
  std::int64_t num_train;
  std::int64_t num_test;
  friend void PrintTo(const ImageSet& set, std::ostream* out) { *out << set.name; }
};

/// Opens the set, or says why it is not on this machine. A damaged set is an error, not an absent one.
std::optional<DataSource> open_if_present(const std::string& name, std::string& reason) {
  try {
    return open_data({.name = name});
  } catch (const Error& error) {
    reason = error.what();
    if (reason.find("expected its files") == std::string::npos) throw;
    return std::nullopt;
  }
}

class RealData : public testing::TestWithParam<ImageSet> {
 protected:
  void SetUp() override {
    std::string reason;
    source = open_if_present(GetParam().name, reason);
    if (!source) GTEST_SKIP() << reason;
  }
  std::optional<DataSource> source;
};

TEST_P(RealData, HasItsPublishedSizesAndEquallyManyImagesAClass) {
  const auto expect_balanced = [](const Dataset& part, std::int64_t size) {
    ASSERT_EQ(part.size(), size);
    std::vector<std::int64_t> counts(static_cast<std::size_t>(part.num_classes()));
    for (std::int64_t i = 0; i < size; ++i) ++counts[static_cast<std::size_t>(part.label(i))];
    EXPECT_THAT(counts, testing::Each(size / part.num_classes()));
  };
  expect_balanced(*source->train, GetParam().num_train);
  expect_balanced(*source->test, GetParam().num_test);
}

TEST_P(RealData, IsAsItsTraitsSay) {
  const DataTraits traits = data_traits({.name = GetParam().name});
  EXPECT_EQ(source->train->shape(), traits.shape);
  EXPECT_EQ(source->test->shape(), traits.shape);
  EXPECT_EQ(source->train->num_classes(), traits.num_classes);
}

TEST_P(RealData, TheRecipesMeanAndDeviationAreThoseOfTheTrainingImages) {
  const Dataset& train = *source->train;
  const ImageShape shape = train.shape();
  const auto plane = static_cast<std::size_t>(shape.height * shape.width);
  Bytes image(static_cast<std::size_t>(shape.num_values()));
  std::vector<std::uint64_t> sum(3), sum_of_squares(3);
  for (std::int64_t i = 0; i < train.size(); ++i) {
    train.read(i, image);
    for (std::size_t k = 0; k < image.size(); ++k) {
      sum[k / plane] += image[k];
      sum_of_squares[k / plane] += std::uint64_t{image[k]} * image[k];
    }
  }
  const double count = static_cast<double>(train.size()) * static_cast<double>(plane);
  for (std::size_t c = 0; c < 3; ++c) {
    const double mean = static_cast<double>(sum[c]) / count;
    const double deviation = std::sqrt(static_cast<double>(sum_of_squares[c]) / count - mean * mean);
    EXPECT_NEAR(source->recipe.mean[c], mean / 255, 5e-4);
    EXPECT_NEAR(source->recipe.std[c], deviation / 255, 5e-4);
  }
}

TEST(RealStl10, HasTheBrightSkyAboveAndNotAtASide) {
  std::string reason;
  const std::optional<DataSource> source = open_if_present("stl10", reason);
  if (!source) GTEST_SKIP() << reason;
  constexpr std::size_t kSide = 96;
  Bytes image(3 * kSide * kSide);
  for (const auto& part : {source->train, source->test}) {
    std::vector<std::int64_t> counts(10);
    double above = 0, left = 0;
    for (std::int64_t i = 0; i < part->size(); ++i) {
      ++counts[static_cast<std::size_t>(part->label(i))];
      part->read(i, image);
      for (std::size_t k = 0; k < image.size(); ++k) {
        above += k / kSide % kSide < kSide / 2 ? image[k] : -image[k];
        left += k % kSide < kSide / 2 ? image[k] : -image[k];
      }
    }
    EXPECT_THAT(counts, testing::Each(part->size() / 10));
    const double half_the_values = static_cast<double>(part->size()) * static_cast<double>(image.size()) / 2;
    EXPECT_GT(above / half_the_values, 8);
    EXPECT_LT(std::abs(left) / half_the_values, 4);
  }
}

/// Imagenette, decoded afresh by each test.
struct RealImagenette : testing::Test {
  void SetUp() override {
    std::string reason;
    source = open_if_present("imagefolder", reason);
    if (!source) GTEST_SKIP() << reason;
  }
  std::optional<DataSource> source;
};

TEST_F(RealImagenette, AllOfItDecodesToImagesAsImageNetsMeanAndDeviationSay) {
  constexpr std::size_t kPlane = 224 * 224;
  Bytes chw(3 * kPlane);
  std::vector<double> sum(3), sum_of_squares(3);
  std::int64_t num_images = 0, num_grey = 0;
  for (const auto& part : {source->train, source->test}) {
    EXPECT_EQ(part->num_classes(), 10);
    EXPECT_EQ(part->shape(), (ImageShape{3, 224, 224}));
    for (std::int64_t i = 0; i < part->size(); ++i, ++num_images) {
      part->read(i, chw);
      for (std::size_t k = 0; k < chw.size(); ++k) {
        sum[k / kPlane] += chw[k] / 255.0;
        sum_of_squares[k / kPlane] += chw[k] / 255.0 * (chw[k] / 255.0);
      }
      num_grey += std::equal(chw.begin(), chw.begin() + 2 * kPlane, chw.begin() + kPlane);
    }
  }
  for (std::size_t c = 0; c < 3; ++c) {
    const double count = static_cast<double>(num_images) * kPlane, mean = sum[c] / count;
    EXPECT_NEAR(mean, source->recipe.mean[c], 0.05);
    EXPECT_NEAR(std::sqrt(sum_of_squares[c] / count - mean * mean), source->recipe.std[c], 0.08);
  }
  EXPECT_GT(num_grey, 0);
  EXPECT_LT(num_grey, num_images / 10);
}

TEST_F(RealImagenette, ASmallInputWhichIsDecodedAtHalfSizeIsTheLargeOneMadeSmaller) {
  const DataSource small = open_data({.name = "imagefolder", .image = 56});
  Bytes large_chw(3 * 224 * 224), small_chw(3 * 56 * 56);
  double sum = 0;
  for (std::int64_t i = 0; i < small.test->size(); ++i) {
    source->test->read(i, large_chw);
    small.test->read(i, small_chw);
    for (std::size_t k = 0; k < small_chw.size(); ++k) {
      const std::size_t c = k / (56 * 56), y = k / 56 % 56, x = k % 56;
      double mean = 0;
      for (std::size_t d = 0; d < 16; ++d) {
        mean += large_chw[(c * 224 + 4 * y + d / 4) * 224 + 4 * x + d % 4] / 16.0;
      }
      sum += std::abs(mean - small_chw[k]);
    }
  }
  // Means of 4x4 against triangles differ at edges; one shifted by a pixel would differ by 13.
  EXPECT_LT(sum / static_cast<double>(small.test->size()) / static_cast<double>(small_chw.size()), 3);
}

INSTANTIATE_TEST_SUITE_P(Sets, RealData,
                         testing::Values(ImageSet{"cifar10", 50000, 10000},
                                         ImageSet{"cifar100", 50000, 10000},
                                         ImageSet{"fashion-mnist", 60000, 10000}),
                         [](const auto& set) {
                           std::string name = set.param.name;
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace lamina
