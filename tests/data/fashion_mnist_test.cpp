#include "data/fashion_mnist.hpp"

#include <gtest/gtest.h>

#include "data/data_files.hpp"

namespace lamina {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct FashionMnistReader : testing::Test {
  TemporaryFolder folder;
  const Bytes pixels = varied_bytes(3 * 28 * 28);
  const std::filesystem::path images = folder.write("images.gz", gzip(idx_file({3, 28, 28}, pixels)));
};

TEST_F(FashionMnistReader, ShowsTheImageInTheMiddleOfThreeEqualChannelsOfZeros) {
  const auto dataset = read_fashion_mnist(images, folder.write("labels.gz", gzip(idx_file({3}, {4, 0, 9}))));
  ASSERT_EQ(dataset->size(), 3);
  EXPECT_EQ(dataset->shape(), (ImageShape{3, 32, 32}));
  EXPECT_EQ(dataset->num_classes(), 10);
  const Bytes labels{4, 0, 9};
  for (std::int64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(dataset->label(i), labels[static_cast<std::size_t>(i)]);
    Bytes image(3 * 32 * 32, 77);
    dataset->read(i, image);
    std::size_t at = 0;
    for (int c = 0; c < 3; ++c) {
      for (std::int64_t y = -2; y < 30; ++y) {
        for (std::int64_t x = -2; x < 30; ++x, ++at) {
          const bool inside = y >= 0 && y < 28 && x >= 0 && x < 28;
          const int expected = inside ? pixels[static_cast<std::size_t>((i * 28 + y) * 28 + x)] : 0;
          ASSERT_EQ(image[at], expected) << "image " << i << ", channel " << c << ", " << y << ", " << x;
        }
      }
    }
  }
}

TEST_F(FashionMnistReader, RejectsALabelOutOfRangeWithItsRecord) {
  const auto labels = folder.write("labels.gz", idx_file({3}, {4, 10, 9}));
  EXPECT_THAT(error_of(ErrorKind::data, [&] { read_fashion_mnist(images, labels); }),
              AllOf(HasSubstr(labels.string()), HasSubstr("record 1: expected a label in 0..9, found 10")));
}

TEST_F(FashionMnistReader, RejectsMoreOrFewerLabelsThanImages) {
  for (const std::uint32_t count : {2U, 4U}) {
    const auto labels = folder.write("labels.gz", idx_file({count}, Bytes(count, 1)));
    EXPECT_THAT(error_of(ErrorKind::data, [&] { read_fashion_mnist(images, labels); }),
                AllOf(HasSubstr(labels.string()), HasSubstr(images.string()), HasSubstr("expected 3 labels"),
                      HasSubstr("found " + std::to_string(count))));
  }
}

TEST_F(FashionMnistReader, RejectsImagesOfAnotherSize) {
  const auto small = folder.write("small.gz", idx_file({3, 14, 14}, Bytes(3 * 14 * 14)));
  const auto labels = folder.write("labels.gz", idx_file({3}, {4, 0, 9}));
  EXPECT_THAT(error_of(ErrorKind::data, [&] { read_fashion_mnist(small, labels); }), HasSubstr("[14, 14]"));
}

}  // namespace
}  // namespace lamina
