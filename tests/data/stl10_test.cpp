#include "data/stl10.hpp"

#include <gtest/gtest.h>

#include "data/data_files.hpp"

namespace lamina {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::size_t kStlSide = 96;
constexpr std::size_t kStlBytes = 3 * kStlSide * kStlSide;

struct Stl10Reader : testing::Test {
  std::string error_reading(const Bytes& images, const Bytes& labels) {
    const auto x = folder.write("X.bin", images), y = folder.write("y.bin", labels);
    return error_of(ErrorKind::data, [&] { read_stl10(x, y); });
  }
  TemporaryFolder folder;
  const Bytes pixels = varied_bytes(2 * kStlBytes);
};

TEST_F(Stl10Reader, TurnsTheColumnsOfEveryChannelIntoRows) {
  const auto dataset = read_stl10(folder.write("X.bin", pixels), folder.write("y.bin", {10, 1}));
  ASSERT_EQ(dataset->size(), 2);
  EXPECT_EQ(dataset->shape(), (ImageShape{3, 96, 96}));
  EXPECT_EQ(dataset->num_classes(), 10);
  EXPECT_EQ(dataset->label(0), 9);
  EXPECT_EQ(dataset->label(1), 0);
  Bytes image(kStlBytes);
  for (std::size_t i = 0; i < 2; ++i) {
    dataset->read(static_cast<std::int64_t>(i), image);
    for (std::size_t c = 0; c < 3; ++c) {
      for (std::size_t y = 0; y < kStlSide; ++y) {
        for (std::size_t x = 0; x < kStlSide; ++x) {
          ASSERT_EQ(image[(c * kStlSide + y) * kStlSide + x],
                    pixels[((i * 3 + c) * kStlSide + x) * kStlSide + y]);
        }
      }
    }
  }
}

TEST_F(Stl10Reader, RejectsAFileThatEndsWithinAnImageOrHasNone) {
  for (const std::size_t length : {std::size_t{0}, kStlBytes - 1, kStlBytes + 1}) {
    EXPECT_THAT(error_reading(Bytes(length), {1, 2}),
                AllOf(HasSubstr("X.bin: expected whole images of 27648 bytes"),
                      HasSubstr("found " + std::to_string(length) + " bytes")));
  }
}

TEST_F(Stl10Reader, RejectsMoreOrFewerLabelsThanImages) {
  for (const Bytes& labels : {Bytes{1}, Bytes{1, 2, 3}, Bytes{}}) {
    EXPECT_THAT(error_reading(pixels, labels),
                AllOf(HasSubstr("y.bin: expected 2 labels"), HasSubstr("X.bin"),
                      HasSubstr("found " + std::to_string(labels.size()))));
  }
}

TEST_F(Stl10Reader, RejectsALabelOutOfRangeWithItsRecord) {
  for (const std::uint8_t label : {0, 11}) {
    EXPECT_THAT(error_reading(pixels, {1, label}),
                HasSubstr("y.bin: record 1: expected a label in 1..10, found " + std::to_string(label)));
  }
}

TEST_F(Stl10Reader, NamesAFileThatCannotBeRead) {
  const auto x = folder.write("X.bin", pixels);
  EXPECT_THAT(error_of(ErrorKind::data, [&] { read_stl10(x, folder.path() / "absent"); }),
              AllOf(HasSubstr("absent"), HasSubstr("No such file")));
  EXPECT_THAT(error_of(ErrorKind::data, [&] { read_stl10(x, folder.path()); }),
              AllOf(HasSubstr(folder.path().string()), HasSubstr("Is a directory")));
}

}  // namespace
}  // namespace lamina
