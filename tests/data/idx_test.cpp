#include "data/idx.hpp"

#include <gtest/gtest.h>

#include "data/data_files.hpp"

namespace lamina {
namespace {

using testing::AllOf;
using testing::HasSubstr;

struct IdxReader : testing::Test {
  std::string error_reading(const Bytes& bytes, const std::vector<std::int64_t>& item_dims) {
    const auto path = folder.write("a.idx", bytes);
    const std::string message = error_of(ErrorKind::data, [&] { read_idx(path, item_dims); });
    EXPECT_THAT(message, HasSubstr(path.string()));
    return message;
  }
  TemporaryFolder folder;
  const Bytes values = varied_bytes(3 * 4 * 5);
  const Bytes file = idx_file({3, 4, 5}, values);
};

TEST_F(IdxReader, ReadsPlainAndCompressedFilesAlike) {
  for (const Bytes& bytes : {file, gzip(file)}) {
    const IdxArray array = read_idx(folder.write("a.idx", bytes), {4, 5});
    EXPECT_EQ(array.count, 3);
    EXPECT_EQ(array.values, values);
  }
}

TEST_F(IdxReader, ReadsFilesLargerThanOneReadAhead) {
  const Bytes many = varied_bytes(9'999'999);
  const IdxArray array = read_idx(folder.write("a.idx", gzip(idx_file({9'999'999}, many))), {});
  EXPECT_EQ(array.values, many);
}

TEST_F(IdxReader, NamesAMissingFile) {
  const auto path = folder.path() / "absent.gz";
  EXPECT_THAT(error_of(ErrorKind::data, [&] { read_idx(path, {}); }),
              AllOf(HasSubstr(path.string()), HasSubstr("No such file")));
}

TEST_F(IdxReader, RejectsAnotherMagic) {
  EXPECT_THAT(error_reading(file, {}), AllOf(HasSubstr("0x00000801"), HasSubstr("found 0x00000803")));
  Bytes floats = file;
  floats[2] = 0x0d;
  EXPECT_THAT(error_reading(floats, {4, 5}), AllOf(HasSubstr("0x00000803"), HasSubstr("found 0x00000d03")));
}

TEST_F(IdxReader, RejectsOtherDimensionsAndEmptyFiles) {
  EXPECT_THAT(error_reading(file, {5, 4}), AllOf(HasSubstr("[5, 4]"), HasSubstr("found 3 of [4, 5]")));
  EXPECT_THAT(error_reading(idx_file({0}, {}), {}), HasSubstr("at least 1 item"));
}

TEST_F(IdxReader, RejectsEveryTruncatedPlainFileWithItsLength) {
  for (std::size_t length = 0; length < file.size(); ++length) {
    EXPECT_THAT(
        error_reading(Bytes(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(length)), {4, 5}),
        HasSubstr("found " + std::to_string(length)))
        << length;
  }
}

TEST_F(IdxReader, RejectsEveryTruncatedCompressedFile) {
  const Bytes compressed = gzip(file);
  for (std::size_t length = 0; length < compressed.size(); ++length) {
    error_reading(Bytes(compressed.begin(), compressed.begin() + static_cast<std::ptrdiff_t>(length)),
                  {4, 5});
  }
}

TEST_F(IdxReader, ASizeOfBillionsInTheHeaderOfASmallFileIsATruncation) {
  EXPECT_THAT(error_reading(idx_file({0xffffffffU}, {1, 2, 3}), {}),
              AllOf(HasSubstr("expected 4294967303 bytes"), HasSubstr("found 11")));
}

TEST_F(IdxReader, RejectsBytesLeftOver) {
  Bytes longer = file;
  longer.push_back(0);
  EXPECT_THAT(error_reading(longer, {4, 5}), HasSubstr("expected 76 bytes, found more"));
}

TEST_F(IdxReader, RejectsAFlippedBitInCompressedData) {
  Bytes compressed = gzip(file);
  compressed[compressed.size() - 6] ^= 1;  // in the checksum
  EXPECT_THAT(error_reading(compressed, {4, 5}), HasSubstr("expected readable data"));
}

}  // namespace
}  // namespace lamina
