#include "data/gz_file.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "lamina/core/error.hpp"

namespace lamina {
namespace {

constexpr std::int64_t kChunkBytes = std::int64_t{1} << 22;

gzFile as_gz(void* handle) {
  return static_cast<gzFile>(handle);
}

}  // namespace

GzFile::GzFile(std::filesystem::path path)
    : path_(std::move(path)),
      handle_(gzopen(path_.c_str(), "rb"), [](void* handle) { gzclose(as_gz(handle)); }) {
  if (!handle_) {
    throw Error(ErrorKind::data, fmt::format("{}: expected a data file, found none: {}", path_.string(),
                                             std::generic_category().message(errno)));
  }
  gzbuffer(as_gz(handle_.get()), 1U << 17);
}

std::int64_t GzFile::read_some(std::uint8_t* bytes, std::int64_t size) {
  const int found = gzread(as_gz(handle_.get()), bytes, static_cast<unsigned>(size));
  int code = Z_OK;
  const char* reason = gzerror(as_gz(handle_.get()), &code);
  // Z_BUF_ERROR means that the compressed data stop early: the caller says how much is missing.
  if (found < 0 && code != Z_BUF_ERROR) {
    throw Error(ErrorKind::data, fmt::format("{}: expected readable data after byte {}, found: {}",
                                             path_.string(), position_, reason));
  }
  return std::max(found, 0);
}

std::vector<std::uint8_t> GzFile::read(std::int64_t size) {
  std::vector<std::uint8_t> bytes;
  std::int64_t done = 0;
  while (done < size) {
    // Grows as data come, so that a damaged header cannot ask for all the memory.
    bytes.resize(static_cast<std::size_t>(std::min(size, std::max(done + kChunkBytes, 2 * done))));
    const std::int64_t wanted = std::min(static_cast<std::int64_t>(bytes.size()) - done, kChunkBytes);
    const std::int64_t found = read_some(bytes.data() + done, wanted);
    if (found == 0) {
      throw Error(ErrorKind::data, fmt::format("{}: expected {} bytes, found {}: the file is cut short",
                                               path_.string(), position_ + size - done, position_));
    }
    done += found;
    position_ += found;
  }
  return bytes;
}

void GzFile::expect_end() {
  std::uint8_t extra = 0;
  if (read_some(&extra, 1) > 0) {
    throw Error(ErrorKind::data, fmt::format("{}: expected {} bytes, found more", path_.string(), position_));
  }
  int code = Z_OK;
  gzerror(as_gz(handle_.get()), &code);
  if (code == Z_BUF_ERROR) {
    throw Error(ErrorKind::data,
                fmt::format("{}: expected a checksum after {} bytes, found the end of the file",
                            path_.string(), position_));
  }
}

}  // namespace lamina
