#include "data/jpeg.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstddef>
#include <cstdio>

// After cstdio, whose FILE it takes for granted.
#include <jerror.h>
#include <jpeglib.h>

#include "data/exif.hpp"
#include "lamina/core/error.hpp"

namespace lamina {
namespace {

/// Where libjpeg's errors go. It knows the first member alone.
struct Failure {
  jpeg_error_mgr manager;
  std::jmp_buf jump;
};

[[noreturn]] void jump_out(j_common_ptr info) {
  std::longjmp(reinterpret_cast<Failure*>(info->err)->jump, 1);
}

/// Warnings after which some pixels are made up. Others, of odd bytes between segments, cost nothing.
void heed_warning(j_common_ptr info, int level) {
  constexpr std::array<int, 4> kDamage = {JWRN_JPEG_EOF, JWRN_HIT_MARKER, JWRN_HUFF_BAD_CODE,
                                          JWRN_MUST_RESYNC};
  if (level < 0 && std::ranges::count(kDamage, info->err->msg_code)) jump_out(info);
}

/// libjpeg's decoder. A longjmp skips destructors, so the functions that it can leave hold plain values only.
class JpegReader {
 public:
  explicit JpegReader(const std::string& name) : name_(name) {
    info_.err = jpeg_std_error(&failure_.manager);
    failure_.manager.error_exit = jump_out;
    failure_.manager.emit_message = heed_warning;
  }
  ~JpegReader() { jpeg_destroy_decompress(&info_); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  void open(std::span<const std::uint8_t> bytes) {
    require(read_header(bytes));
    for (jpeg_saved_marker_ptr marker = info_.marker_list; marker; marker = marker->next) {
      if (orientation_ == Orientation{}) orientation_ = exif_orientation({marker->data, marker->data_length});
    }
  }
  ImageSize stored_size() const { return {info_.image_height, info_.image_width}; }
  const Orientation& orientation() const { return orientation_; }

  /// At 1/denominator of the size, as stored.
  Pixels decode(unsigned denominator) {
    info_.scale_num = 1;
    info_.scale_denom = denominator;
    inverted_cmyk_ = info_.num_components == 4;
    info_.out_color_space = inverted_cmyk_ ? JCS_CMYK : JCS_RGB;
    require(start());
    Pixels pixels{{info_.output_height, info_.output_width}, {}, 1.0 / denominator};
    pixels.rgb.resize(static_cast<std::size_t>(pixels.size.height * pixels.size.width) * 3);
    line_.resize(static_cast<std::size_t>(pixels.size.width) * 4);
    require(read_lines(pixels.rgb.data()));
    return pixels;
  }

 private:
  void require(bool success) {
    if (success) return;
    std::array<char, JMSG_LENGTH_MAX> message{};
    failure_.manager.format_message(reinterpret_cast<j_common_ptr>(&info_), message.data());
    throw Error(ErrorKind::data, fmt::format("{}: expected a whole JPEG, found: {}", name_, message.data()));
  }

  bool read_header(std::span<const std::uint8_t> bytes) {
    constexpr unsigned kMostMarkerBytes = 0xffff;
    if (setjmp(failure_.jump)) return false;
    jpeg_create_decompress(&info_);
    jpeg_save_markers(&info_, JPEG_APP0 + 1, kMostMarkerBytes);
    jpeg_mem_src(&info_, bytes.data(), bytes.size());
    jpeg_read_header(&info_, TRUE);
    return true;
  }

  bool start() {
    if (setjmp(failure_.jump)) return false;
    jpeg_start_decompress(&info_);
    return true;
  }

  bool read_lines(std::uint8_t* rgb) {
    if (setjmp(failure_.jump)) return false;
    while (info_.output_scanline < info_.output_height) {
      std::uint8_t* const to = rgb + std::size_t{3} * info_.output_scanline * info_.output_width;
      JSAMPROW row = inverted_cmyk_ ? line_.data() : to;
      jpeg_read_scanlines(&info_, &row, 1);
      if (inverted_cmyk_) write_rgb(to);
    }
    jpeg_finish_decompress(&info_);
    return true;
  }

  /// The line holds how much light each ink lets through: what Adobe's files call CMYK.
  void write_rgb(std::uint8_t* to) const {
    const std::uint8_t* cmyk = line_.data();
    for (JDIMENSION x = 0; x < info_.output_width; ++x, cmyk += 4) {
      for (int c = 0; c < 3; ++c) *to++ = static_cast<std::uint8_t>((cmyk[c] * cmyk[3] + 127) / 255);
    }
  }

  const std::string& name_;
  Failure failure_{};
  jpeg_decompress_struct info_{};
  Orientation orientation_;
  bool inverted_cmyk_ = false;
  std::vector<std::uint8_t> line_;
};

}  // namespace

bool is_jpeg(std::span<const std::uint8_t> bytes) {
  return bytes.size() >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff;
}

Pixels decode_jpeg(std::span<const std::uint8_t> bytes, const std::string& name,
                   const LeastScale& least_scale) {
  JpegReader reader(name);
  reader.open(bytes);
  constexpr std::size_t kMostPixelsAByte = 8 * 64;  // a block takes a bit at least
  require_sane_size(reader.stored_size(), bytes.size(), kMostPixelsAByte, name);
  const double least = least_scale(seen_size(reader.stored_size(), reader.orientation()));
  // Only these have fast inverse transforms: 5/8 takes longer than 1.
  unsigned denominator = 8;
  while (denominator > 1 && 1.0 / denominator < least) denominator /= 2;
  return turned(reader.decode(denominator), reader.orientation());
}

}  // namespace lamina
