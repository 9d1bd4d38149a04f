#pragma once

#include <csetjmp>
#include <cstdio>
#include <cstdlib>

// After cstdio, whose FILE it takes for granted.
#include <jpeglib.h>
#include <png.h>

#include "data/data_files.hpp"
#include "data/pixels.hpp"

namespace lamina {

struct JpegOptions {
  J_COLOR_SPACE given = JCS_RGB;  ///< what the values are
  J_COLOR_SPACE stored = JCS_YCbCr;
  int quality = 100;
  bool progressive = false;
  Bytes app1{};  ///< content of an APP1 segment; empty: none
};

/// A JPEG file of the values, row by row.
inline Bytes jpeg_file(const ImageSize& size, const Bytes& values, const JpegOptions& options = {}) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);  // an error ends the process, as it should a test's
  jpeg_create_compress(&info);
  unsigned char* buffer = nullptr;
  unsigned long num_bytes = 0;
  jpeg_mem_dest(&info, &buffer, &num_bytes);
  info.image_width = static_cast<JDIMENSION>(size.width);
  info.image_height = static_cast<JDIMENSION>(size.height);
  info.input_components =
      static_cast<int>(values.size() / static_cast<std::size_t>(size.height * size.width));
  info.in_color_space = options.given;
  jpeg_set_defaults(&info);
  jpeg_set_colorspace(&info, options.stored);
  jpeg_set_quality(&info, options.quality, TRUE);
  if (options.progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  if (!options.app1.empty()) {
    jpeg_write_marker(&info, JPEG_APP0 + 1, options.app1.data(), static_cast<unsigned>(options.app1.size()));
  }
  while (info.next_scanline < info.image_height) {
    auto* row = const_cast<JSAMPROW>(values.data() + std::size_t{info.next_scanline} * info.image_width *
                                                         static_cast<unsigned>(info.input_components));
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  Bytes bytes(buffer, buffer + num_bytes);
  std::free(buffer);
  return bytes;
}

/// An APP1 segment that says how the camera was held, after another tag.
inline Bytes exif(std::uint8_t orientation, bool little_endian = true) {
  Bytes bytes{'E', 'x', 'i', 'f', 0, 0};
  const auto put = [&](std::size_t value, int num_bytes) {
    for (int i = 0; i < num_bytes; ++i) {
      bytes.push_back(static_cast<std::uint8_t>(value >> 8 * (little_endian ? i : num_bytes - 1 - i)));
    }
  };
  bytes.insert(bytes.end(), 2, little_endian ? 'I' : 'M');
  put(42, 2), put(8, 4);                            // the first directory follows
  put(2, 2);                                        // of two entries: tag, type, count, value
  put(0x0100, 2), put(4, 2), put(1, 4), put(6, 4);  // a width
  put(0x0112, 2), put(3, 2), put(1, 4), put(orientation, 2), put(0, 2);
  put(0, 4);  // no further directory
  return bytes;
}

struct PngOptions {
  int color_type = PNG_COLOR_TYPE_RGB;
  int bit_depth = 8;
  std::vector<png_color> palette{};
  Bytes palette_alpha{};
};

/// A PNG file of rows as libpng takes them.
inline Bytes png_file(const ImageSize& size, const Bytes& rows, const PngOptions& options = {}) {
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  Bytes bytes;
  png_set_write_fn(
      png, &bytes,
      [](png_structp writer, png_bytep data, std::size_t num_bytes) {
        auto* to = static_cast<Bytes*>(png_get_io_ptr(writer));
        to->insert(to->end(), data, data + num_bytes);
      },
      nullptr);
  png_set_IHDR(png, info, static_cast<png_uint_32>(size.width), static_cast<png_uint_32>(size.height),
               options.bit_depth, options.color_type, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  if (!options.palette.empty()) {
    png_set_PLTE(png, info, options.palette.data(), static_cast<int>(options.palette.size()));
  }
  if (!options.palette_alpha.empty()) {
    png_set_tRNS(png, info, options.palette_alpha.data(), static_cast<int>(options.palette_alpha.size()),
                 nullptr);
  }
  png_write_info(png, info);
  const std::size_t row_bytes = rows.size() / static_cast<std::size_t>(size.height);
  for (std::int64_t y = 0; y < size.height; ++y) {
    png_write_row(png, rows.data() + static_cast<std::size_t>(y) * row_bytes);
  }
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

/// An image without sharp edges, whose colours tell every place apart: what a JPEG keeps well.
inline Bytes smooth_rgb(const ImageSize& size) {
  Bytes rgb;
  for (std::int64_t y = 0; y < size.height; ++y) {
    for (std::int64_t x = 0; x < size.width; ++x) {
      rgb.push_back(static_cast<std::uint8_t>(20 + 200 * y / size.height));
      rgb.push_back(static_cast<std::uint8_t>(20 + 200 * x / size.width));
      rgb.push_back(static_cast<std::uint8_t>(220 - 100 * (x + y) / (size.width + size.height)));
    }
  }
  return rgb;
}

/// Expects that no two values are further apart than `tolerance`.
inline void expect_bytes_near(const Bytes& found, const Bytes& expected, int tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  int most = 0;
  for (std::size_t i = 0; i < found.size(); ++i) most = std::max(most, std::abs(found[i] - expected[i]));
  EXPECT_LE(most, tolerance);
}

}  // namespace lamina
