#include "data/synthetic.hpp"

#include <gtest/gtest.h>

#include <array>
#include <limits>

#include "data/data_files.hpp"

namespace lamina {
namespace {

constexpr std::size_t kValues = 3 * 32 * 32;
using Sums = std::array<double, kValues>;

/// The mean image of each class.
std::array<Sums, 10> class_means(const Dataset& dataset) {
  std::array<Sums, 10> means{};
  std::array<double, 10> counts{};
  Bytes image(kValues);
  for (std::int64_t i = 0; i < dataset.size(); ++i) {
    const auto label = static_cast<std::size_t>(dataset.label(i));
    dataset.read(i, image);
    ++counts[label];
    for (std::size_t k = 0; k < kValues; ++k) means[label][k] += image[k];
  }
  for (std::size_t label = 0; label < 10; ++label) {
    for (double& mean : means[label]) mean /= counts[label];
  }
  return means;
}

std::size_t nearest_class(const std::array<Sums, 10>& means, const Bytes& image, bool flip) {
  std::size_t best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t label = 0; label < 10; ++label) {
    double distance = 0;
    for (std::size_t k = 0; k < kValues; ++k) {
      const double difference = means[label][k] - image[flip ? k / 32 * 32 + 31 - k % 32 : k];
      distance += difference * difference;
    }
    if (distance < least) {
      least = distance;
      best = label;
    }
  }
  return best;
}

TEST(SyntheticData, ClassMeansOfTheTrainingPartTellTheTestImagesEvenFlipped) {
  const std::array<Sums, 10> means = class_means(*make_synthetic(true, 500));
  const auto test = make_synthetic(false, 100);
  Bytes image(kValues);
  for (std::int64_t i = 0; i < test->size(); ++i) {
    test->read(i, image);
    for (const bool flip : {false, true}) {
      EXPECT_EQ(nearest_class(means, image, flip), static_cast<std::size_t>(test->label(i)));
    }
  }
}

TEST(SyntheticData, IsAlwaysTheSameAndItsPartsDiffer) {
  const auto one = make_synthetic(true, 3), longer = make_synthetic(true, 5),
             other = make_synthetic(false, 3);
  Bytes a(kValues), b(kValues), c(kValues);
  for (std::int64_t i = 0; i < 3; ++i) {
    one->read(i, a);
    longer->read(i, b);
    other->read(i, c);
    EXPECT_EQ(a, b);
    EXPECT_NE(a, c);
  }
}

}  // namespace
}  // namespace lamina
