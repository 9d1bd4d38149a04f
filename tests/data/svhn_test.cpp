#include "data/svhn.hpp"

#include <gtest/gtest.h>
#include <matio.h>

#include "data/data_files.hpp"

namespace lamina {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// One variable to put into a MATLAB file; its values are bytes, whatever its class says.
struct Variable {
  std::string name;
  std::vector<std::size_t> dims;
  Bytes bytes;
  matio_classes type = MAT_C_UINT8;
  matio_types stored = MAT_T_UINT8;
  int flags = 0;
};

constexpr std::size_t kSvhnBytes = 3 * 32 * 32;

struct SvhnReader : testing::Test {
  std::filesystem::path write(std::vector<Variable> variables, matio_compression compression,
                              mat_ft version = MAT_FT_MAT5) {
    const auto path = folder.path() / "digits.mat";
    mat_t* const file = Mat_CreateVer(path.c_str(), nullptr, version);
    for (Variable& v : variables) {
      matvar_t* const variable =
          Mat_VarCreate(v.name.c_str(), v.type, v.stored, static_cast<int>(v.dims.size()), v.dims.data(),
                        v.bytes.data(), v.flags);
      Mat_VarWrite(file, variable, compression);
      Mat_VarFree(variable);
    }
    Mat_Close(file);
    return path;
  }

  std::string error_reading(const std::vector<Variable>& variables) {
    const auto path = write(variables, MAT_COMPRESSION_NONE);
    const std::string message = error_of(ErrorKind::data, [&] { read_svhn(path); });
    EXPECT_THAT(message, HasSubstr(path.string()));
    return message;
  }

  TemporaryFolder folder;
  const Variable x{"X", {32, 32, 3, 4}, varied_bytes(4 * kSvhnBytes)};
  const Variable y{"y", {4, 1}, {10, 1, 9, 5}};
};

TEST_F(SvhnReader, ReadsImagesAndDigitsCompressedOrNotInAnyOrder) {
  for (const auto& variables : {std::vector{x, y}, std::vector{y, x}}) {
    for (const matio_compression compression : {MAT_COMPRESSION_NONE, MAT_COMPRESSION_ZLIB}) {
      const auto dataset = read_svhn(write(variables, compression));
      ASSERT_EQ(dataset->size(), 4);
      EXPECT_EQ(dataset->shape(), (ImageShape{3, 32, 32}));
      EXPECT_EQ(dataset->num_classes(), 10);
      const std::vector<std::int64_t> digits{0, 1, 9, 5};
      Bytes image(kSvhnBytes);
      for (std::size_t i = 0; i < 4; ++i) {
        EXPECT_EQ(dataset->label(static_cast<std::int64_t>(i)), digits[i]);
        dataset->read(static_cast<std::int64_t>(i), image);
        for (std::size_t k = 0; k < kSvhnBytes; ++k) {
          const std::size_t c = k / 1024, row = k / 32 % 32, column = k % 32;
          ASSERT_EQ(image[k], x.bytes[row + 32 * (column + 32 * (c + 3 * i))]);
        }
      }
    }
  }
}

TEST_F(SvhnReader, NamesAMissingVariable) {
  EXPECT_THAT(error_reading({x}),
              HasSubstr("variable y: expected Nx1 of class uint8, found no such variable"));
  EXPECT_THAT(error_reading({y}), HasSubstr("variable X: expected 32x32x3xN"));
  EXPECT_THAT(error_reading({}), HasSubstr("variable X"));
}

TEST_F(SvhnReader, RejectsAnotherClass) {
  const Variable doubles{"X", {32, 32, 3, 4}, Bytes(4 * kSvhnBytes * 8), MAT_C_DOUBLE, MAT_T_DOUBLE};
  const Variable signed_bytes{"y", {4, 1}, {1, 2, 3, 4}, MAT_C_INT8, MAT_T_INT8};
  const Variable truths{"y", {4, 1}, {1, 1, 1, 1}, MAT_C_UINT8, MAT_T_UINT8, MAT_F_LOGICAL};
  EXPECT_THAT(error_reading({doubles, y}), HasSubstr("found 32x32x3x4 of class double"));
  EXPECT_THAT(error_reading({x, signed_bytes}), HasSubstr("found 4x1 of class int8"));
  EXPECT_THAT(error_reading({x, truths}), HasSubstr("found 4x1 of class logical"));
}

TEST_F(SvhnReader, RejectsAnotherRankOrSize) {
  using Dims = std::vector<std::size_t>;
  for (const Dims& dims : {Dims{32, 32, 12}, Dims{32, 16, 6, 4}, Dims{4, 3, 32, 32}, Dims{32, 32, 3, 2, 2}}) {
    Variable other = x;
    other.dims = dims;
    EXPECT_THAT(error_reading({other, y}), HasSubstr("variable X: expected 32x32x3xN"));
  }
  EXPECT_THAT(error_reading({x, {"y", {2, 2}, {1, 2, 3, 4}}}), HasSubstr("found 2x2 of class uint8"));
  EXPECT_THAT(error_reading({{"X", {32, 32, 3, 0}, {}}, y}), HasSubstr("variable X"));
}

TEST_F(SvhnReader, RejectsALabelOutOfRangeWithItsRecord) {
  for (const std::uint8_t label : {0, 11}) {
    EXPECT_THAT(error_reading({x, {"y", {4, 1}, {1, 2, label, 4}}}),
                HasSubstr("record 2: expected a label in 1..10, found " + std::to_string(label)));
  }
}

TEST_F(SvhnReader, RejectsMoreOrFewerLabelsThanImages) {
  EXPECT_THAT(error_reading({x, {"y", {3, 1}, {1, 2, 3}}}),
              AllOf(HasSubstr("expected 4 labels"), HasSubstr("found 3")));
  EXPECT_THAT(error_reading({x, {"y", {5, 1}, {1, 2, 3, 4, 5}}}), HasSubstr("found 5"));
}

TEST_F(SvhnReader, RejectsTruncatedFilesWhicheverVariableComesLast) {
  for (const auto& variables : {std::vector{x, y}, std::vector{y, x}}) {
    for (const matio_compression compression : {MAT_COMPRESSION_NONE, MAT_COMPRESSION_ZLIB}) {
      const auto path = write(variables, compression);
      const auto size = std::filesystem::file_size(path);
      std::vector<std::uintmax_t> lengths{size - 1, size - 9, size - 80, size / 2, 200, 136, 129, 127, 1, 0};
      for (const std::uintmax_t length : lengths) {
        std::filesystem::resize_file(write(variables, compression), length);
        EXPECT_THAT(error_of(ErrorKind::data, [&] { read_svhn(path); }), HasSubstr(path.string())) << length;
      }
    }
  }
}

TEST_F(SvhnReader, RejectsWhatIsNoMatlab5File) {
  const auto path = folder.write("digits.mat", varied_bytes(5000));
  EXPECT_THAT(error_of(ErrorKind::data, [&] { read_svhn(path); }), HasSubstr("expected a MATLAB 5 file"));
  EXPECT_THAT(error_of(ErrorKind::data, [&] { read_svhn(folder.path() / "absent.mat"); }),
              HasSubstr("expected a MATLAB 5 file"));
  const auto newer = write({x, y}, MAT_COMPRESSION_NONE, MAT_FT_MAT73);
  EXPECT_THAT(error_of(ErrorKind::data, [&] { read_svhn(newer); }), HasSubstr("found another version"));
}

}  // namespace
}  // namespace lamina
