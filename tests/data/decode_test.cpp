#include "data/decode.hpp"

#include <gtest/gtest.h>

#include <map>

#include "data/exif.hpp"
#include "data/image_files.hpp"

namespace lamina {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const ImageSize kSize{40, 56};

Pixels decoded(const Bytes& file, double least_scale = 1) {
  return decode_image(file, "photo", [&](const ImageSize&) { return least_scale; });
}

std::string error_decoding(const Bytes& file) {
  return error_of(ErrorKind::data, [&] { decoded(file); });
}

Bytes first(const Bytes& bytes, std::size_t size) {
  return Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
}

/// Every third byte of an image, from `channel` on.
Bytes channel_of(const Bytes& rgb, std::size_t channel) {
  Bytes values;
  for (std::size_t i = channel; i < rgb.size(); i += 3) values.push_back(rgb[i]);
  return values;
}

Bytes three_times(const Bytes& grey) {
  Bytes rgb;
  for (const std::uint8_t value : grey) rgb.insert(rgb.end(), 3, value);
  return rgb;
}

TEST(DecodeJpeg, ShowsTheImageThatWasWrittenProgressiveOrNot) {
  const Bytes rgb = smooth_rgb(kSize);
  for (const bool progressive : {false, true}) {
    const Pixels pixels = decoded(jpeg_file(kSize, rgb, {.progressive = progressive}));
    EXPECT_EQ(pixels.size, kSize);
    EXPECT_EQ(pixels.scale, 1);
    expect_bytes_near(pixels.rgb, rgb, 6);
  }
}

TEST(DecodeJpeg, GreyBecomesThreeEqualChannels) {
  const Bytes grey = channel_of(smooth_rgb(kSize), 1);
  const Pixels pixels = decoded(jpeg_file(kSize, grey, {.given = JCS_GRAYSCALE, .stored = JCS_GRAYSCALE}));
  EXPECT_EQ(channel_of(pixels.rgb, 0), channel_of(pixels.rgb, 1));
  EXPECT_EQ(channel_of(pixels.rgb, 0), channel_of(pixels.rgb, 2));
  expect_bytes_near(pixels.rgb, three_times(grey), 3);
}

TEST(DecodeJpeg, InksAreReadAsAdobeWritesThem) {
  const Bytes rgb = smooth_rgb(kSize);
  for (const J_COLOR_SPACE stored : {JCS_CMYK, JCS_YCCK}) {
    for (const int light : {255, 128}) {  // what the black ink lets through
      Bytes cmyk, expected;
      for (std::size_t i = 0; i < rgb.size(); ++i) {
        cmyk.push_back(rgb[i]);
        if (i % 3 == 2) cmyk.push_back(static_cast<std::uint8_t>(light));
        expected.push_back(static_cast<std::uint8_t>(rgb[i] * light / 255));
      }
      expect_bytes_near(decoded(jpeg_file(kSize, cmyk, {.given = JCS_CMYK, .stored = stored})).rgb, expected,
                        6);
    }
  }
}

/// Where the first stored row and the first stored column are seen, as EXIF words it.
struct Sides {
  std::string first_row, first_column;
};
const std::map<std::uint8_t, Sides> kSides{
    {1, {"top", "left"}}, {2, {"top", "right"}}, {3, {"bottom", "right"}}, {4, {"bottom", "left"}},
    {5, {"left", "top"}}, {6, {"right", "top"}}, {7, {"right", "bottom"}}, {8, {"left", "bottom"}}};

/// The image `seen` as a camera held so stores it.
std::pair<ImageSize, Bytes> stored_as(const Sides& sides, const ImageSize& size, const Bytes& seen) {
  const bool upright = sides.first_row == "top" || sides.first_row == "bottom";
  const ImageSize stored = upright ? size : ImageSize{size.width, size.height};
  Bytes rgb;
  for (std::int64_t row = 0; row < stored.height; ++row) {
    for (std::int64_t column = 0; column < stored.width; ++column) {
      std::int64_t y = 0, x = 0;
      for (const auto& [side, place] :
           {std::pair(sides.first_row, row), std::pair(sides.first_column, column)}) {
        if (side == "top") y = place;
        if (side == "bottom") y = size.height - 1 - place;
        if (side == "left") x = place;
        if (side == "right") x = size.width - 1 - place;
      }
      const auto from = seen.begin() + (y * size.width + x) * 3;
      rgb.insert(rgb.end(), from, from + 3);
    }
  }
  return {stored, rgb};
}

TEST(DecodeJpeg, TurnsTheImageAsExifSays) {
  const Bytes seen = smooth_rgb(kSize);
  for (const auto& [orientation, sides] : kSides) {
    for (const bool little_endian : {true, false}) {
      const auto [stored, rgb] = stored_as(sides, kSize, seen);
      const Bytes file = jpeg_file(stored, rgb, {.app1 = exif(orientation, little_endian)});
      ImageSize told;
      const Pixels pixels = decode_image(file, "photo", [&](const ImageSize& size) {
        told = size;
        return 1.0;
      });
      EXPECT_EQ(told, kSize) << int{orientation};
      EXPECT_EQ(pixels.size, kSize) << int{orientation};
      expect_bytes_near(pixels.rgb, seen, 6);
    }
  }
}

TEST(ExifOrientation, IsUprightWithoutAValueThatMeansSomething) {
  EXPECT_TRUE(exif_orientation(exif(6)).transpose);
  for (const std::uint8_t value : {0, 9, 255}) EXPECT_EQ(exif_orientation(exif(value)), Orientation{});
  Bytes other = exif(6);
  other[0] = 'h';  // as XMP begins, which is in APP1 too
  EXPECT_EQ(exif_orientation(other), Orientation{});
}

TEST(ExifOrientation, OfADamagedSegmentIsUprightOrRightAndReadsNothingOutside) {
  const Bytes whole = exif(6);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const Orientation found = exif_orientation(first(whole, length));
    EXPECT_TRUE(found == Orientation{} || found == exif_orientation(whole)) << length;
  }
  for (std::size_t i = 6; i < whole.size(); ++i) {
    for (const std::uint8_t value : {0x00, 0x7f, 0xff}) {
      Bytes damaged = whole;
      damaged[i] = value;
      exif_orientation(damaged);
    }
  }
}

TEST(DecodeJpeg, GivesTheSmallestScaleThatWillDo) {
  const ImageSize size{41, 57};
  const Bytes file = jpeg_file(size, smooth_rgb(size));
  const std::vector<std::pair<double, double>> scales{{7, 1},       {1, 1},         {0.51, 1},
                                                      {0.5, 0.5},   {0.3, 0.5},     {0.25, 0.25},
                                                      {0.13, 0.25}, {0.125, 0.125}, {0, 0.125}};
  for (const auto& [least, given] : scales) {
    const Pixels pixels = decoded(file, least);
    EXPECT_EQ(pixels.scale, given);
    EXPECT_EQ(pixels.size.height, std::ceil(41 * given));
    EXPECT_EQ(pixels.size.width, std::ceil(57 * given));
  }
}

TEST(DecodeJpeg, RejectsATruncatedFileOfAnyLength) {
  for (const bool progressive : {false, true}) {
    const Bytes file = jpeg_file({24, 32}, smooth_rgb({24, 32}), {.progressive = progressive});
    for (std::size_t length = 0; length < file.size(); ++length) {
      ASSERT_THAT(error_decoding(first(file, length)), HasSubstr("photo: expected")) << length;
    }
  }
}

TEST(DecodeJpeg, TakesOddBytesBehindTheImageForNoDamage) {
  const Bytes file = jpeg_file(kSize, smooth_rgb(kSize));
  const Bytes expected = decoded(file).rgb;
  Bytes behind = file, before_the_end = file;
  behind.insert(behind.end(), 100, 7);
  before_the_end.insert(before_the_end.end() - 2, 20, 7);
  EXPECT_EQ(decoded(behind).rgb, expected);
  EXPECT_EQ(decoded(before_the_end).rgb, expected);
}

TEST(DecodeJpeg, DamageAnywhereIsAnErrorOrSomeOtherImage) {
  const Bytes file = jpeg_file({24, 32}, smooth_rgb({24, 32}), {.app1 = exif(6)});
  int num_errors = 0;
  for (std::size_t i = 0; i < file.size(); ++i) {
    Bytes damaged = file;
    damaged[i] ^= 0xff;
    try {
      decoded(damaged);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::data);
      ++num_errors;
    }
  }
  EXPECT_GT(num_errors, 0);
}

TEST(DecodeJpeg, RejectsAHeaderOfBillionsOfPixels) {
  Bytes file = jpeg_file(kSize, smooth_rgb(kSize));
  const Bytes height_and_width{0, 40, 0, 56};
  const auto place = std::ranges::search(file, height_and_width).begin();
  ASSERT_NE(place, file.end());
  std::fill_n(place, 4, std::uint8_t{0xf0});
  EXPECT_THAT(error_decoding(file), HasSubstr("photo: expected an image of at most"));
}

TEST(DecodePng, ReadsColourAndGreyExactly) {
  const Bytes rgb = varied_bytes(40 * 56 * 3);
  EXPECT_EQ(decoded(png_file(kSize, rgb)).rgb, rgb);
  const Bytes grey = varied_bytes(40 * 56);
  EXPECT_EQ(decoded(png_file(kSize, grey, {.color_type = PNG_COLOR_TYPE_GRAY})).rgb, three_times(grey));
}

TEST(DecodePng, SpreadsFewBitsAndDropsTheLowerOfSixteen) {
  const Bytes bits{0b10110000};
  const Pixels one_bit = decoded(png_file({1, 4}, bits, {.color_type = PNG_COLOR_TYPE_GRAY, .bit_depth = 1}));
  EXPECT_EQ(one_bit.rgb, three_times({255, 0, 255, 255}));

  Bytes wide, expected;
  for (int value = 0; value < 256; ++value) {
    wide.insert(wide.end(), {static_cast<std::uint8_t>(value), 77});
    expected.push_back(static_cast<std::uint8_t>(value));
  }
  const Bytes file = png_file({1, 256}, wide, {.color_type = PNG_COLOR_TYPE_GRAY, .bit_depth = 16});
  expect_bytes_near(decoded(file).rgb, three_times(expected), 1);
}

TEST(DecodePng, LooksPalettesUpAndShowsWhiteBehindWhatIsTransparent) {
  const PngOptions options{
      PNG_COLOR_TYPE_PALETTE, 8, {{10, 20, 30}, {200, 100, 0}, {1, 2, 3}}, {255, 255, 0}};
  EXPECT_EQ(decoded(png_file({1, 4}, {0, 1, 2, 0}, options)).rgb,
            (Bytes{10, 20, 30, 200, 100, 0, 255, 255, 255, 10, 20, 30}));
  const Bytes rgba{10, 20, 30, 255, 10, 20, 30, 0, 10, 20, 30, 128};
  const Bytes rgb = decoded(png_file({1, 3}, rgba, {.color_type = PNG_COLOR_TYPE_RGBA})).rgb;
  EXPECT_EQ(first(rgb, 6), (Bytes{10, 20, 30, 255, 255, 255}));
  for (std::size_t i = 6; i < 9; ++i) {
    EXPECT_GT(rgb[i], 100);
    EXPECT_LT(rgb[i], 220);
  }
}

TEST(DecodePng, RejectsATruncatedFileUpToTheLastPixel) {
  const Bytes file = png_file({24, 32}, smooth_rgb({24, 32}));
  constexpr std::size_t kEndOfIdatAndIend = 4 + 12 + 4;  // with the checksum of zlib that nobody misses
  for (std::size_t length = 0; length < file.size() - kEndOfIdatAndIend; ++length) {
    ASSERT_THAT(error_decoding(first(file, length)), HasSubstr("photo: expected")) << length;
  }
}

TEST(DecodePng, RejectsAHeaderOfBillionsOfPixels) {
  // Only the header is looked at: a signature, then IHDR with a checksum of its own.
  Bytes file = png_file({1, 1}, {1, 2, 3});
  for (const std::size_t place : {18U, 22U}) file[place] = 0xff;
  const auto checksum = crc32(0, file.data() + 12, 17);
  for (std::size_t i = 0; i < 4; ++i) file[29 + i] = static_cast<std::uint8_t>(checksum >> (24 - 8 * i));
  EXPECT_THAT(error_decoding(file), HasSubstr("photo: expected an image of at most"));
}

TEST(DecodeImage, RejectsOtherFormatsByTheirFirstBytes) {
  EXPECT_THAT(error_decoding({'G', 'I', 'F', '8', '9', 'a', 0, 0, 0}),
              HasSubstr("photo: expected a JPEG or PNG, found other first bytes"));
  EXPECT_THAT(error_decoding({}), HasSubstr("photo: expected a JPEG or PNG, found an empty file"));
}

}  // namespace
}  // namespace lamina
