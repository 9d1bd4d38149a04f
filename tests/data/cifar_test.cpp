#include "data/cifar.hpp"

#include <gtest/gtest.h>

#include "data/data_files.hpp"

namespace lamina {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::size_t kImageBytes = 3 * 32 * 32;

Bytes record(const Bytes& label_bytes, std::uint32_t salt) {
  Bytes bytes = label_bytes;
  const Bytes image = varied_bytes(kImageBytes, salt);
  bytes.insert(bytes.end(), image.begin(), image.end());
  return bytes;
}

Bytes joined(const std::vector<Bytes>& records) {
  Bytes bytes;
  for (const Bytes& one : records) bytes.insert(bytes.end(), one.begin(), one.end());
  return bytes;
}

struct CifarReader : testing::Test {
  TemporaryFolder folder;
  const CifarLayout layout{.num_label_bytes = 1, .num_classes = 10, .records_per_file = 2};
};

TEST_F(CifarReader, ReadsTheRecordsOfAllFilesInOrder) {
  const auto dataset = read_cifar({folder.write("1.bin", joined({record({3}, 0), record({9}, 1)})),
                                   folder.write("2.bin", joined({record({0}, 2), record({5}, 3)}))},
                                  layout);
  ASSERT_EQ(dataset->size(), 4);
  EXPECT_EQ(dataset->shape(), (ImageShape{3, 32, 32}));
  const std::vector<std::int64_t> labels{3, 9, 0, 5};
  for (std::int64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(dataset->label(i), labels[static_cast<std::size_t>(i)]);
    Bytes image(kImageBytes);
    dataset->read(i, image);
    EXPECT_EQ(image, varied_bytes(kImageBytes, static_cast<std::uint32_t>(i)));
  }
}

TEST_F(CifarReader, TakesTheFineLabelOfTwo) {
  const auto path = folder.write("train.bin", joined({record({11, 49}, 0), record({15, 99}, 1)}));
  const auto dataset = read_cifar({path}, {.num_label_bytes = 2, .num_classes = 100, .records_per_file = 2});
  EXPECT_EQ(dataset->label(0), 49);
  EXPECT_EQ(dataset->label(1), 99);
  Bytes image(kImageBytes);
  dataset->read(1, image);
  EXPECT_EQ(image, varied_bytes(kImageBytes, 1));
}

TEST_F(CifarReader, RejectsATruncatedFileEvenAtTheEndOfARecord) {
  for (const std::size_t length : {std::size_t{0}, std::size_t{1}, 1 + kImageBytes, 2 * kImageBytes + 1}) {
    Bytes bytes = joined({record({3}, 0), record({9}, 1)});
    bytes.resize(length);
    const auto path = folder.write("1.bin", bytes);
    EXPECT_THAT(
        error_of(ErrorKind::data, [&] { read_cifar({path}, layout); }),
        AllOf(HasSubstr(path.string()), HasSubstr("expected 6146 bytes, found " + std::to_string(length))));
  }
}

TEST_F(CifarReader, RejectsALongerFile) {
  const auto path = folder.write("1.bin", joined({record({3}, 0), record({9}, 1), {7}}));
  EXPECT_THAT(error_of(ErrorKind::data, [&] { read_cifar({path}, layout); }),
              HasSubstr("expected 6146 bytes, found more"));
}

TEST_F(CifarReader, RejectsALabelOutOfRangeWithItsRecord) {
  const auto path = folder.write("1.bin", joined({record({3}, 0), record({10}, 1)}));
  EXPECT_THAT(error_of(ErrorKind::data, [&] { read_cifar({path}, layout); }),
              AllOf(HasSubstr(path.string()), HasSubstr("record 1: expected a label in 0..9, found 10")));
}

}  // namespace
}  // namespace lamina
