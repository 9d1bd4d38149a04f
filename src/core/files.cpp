#include "lamina/core/files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include "lamina/core/error.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(std::string_view action, const fs::path& path, int code) {
  throw Error(ErrorKind::storage,
              fmt::format("cannot {} {}: {}", action, path.string(), std::system_category().message(code)));
}

/// Writes what the system still holds back of a file or of a directory's list of names.
void sync(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) fail("open", path, errno);
  const int code = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  // Some network file systems cannot sync a directory and say so by EINVAL; there is nothing more to be done
  // there.
  if (code != 0 && code != EINVAL) fail("sync", path, code);
}

void sync_parent(const fs::path& path) {
  const fs::path parent = path.parent_path();
  sync(parent.empty() ? fs::path(".") : parent);
}

void move(const fs::path& from, const fs::path& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) {
    const int code = errno;
    fail(fmt::format("rename {} to", from.string()), to, code);
  }
  sync_parent(to);
}

template <class Take>
void read_pieces(const fs::path& path, Take take) {
  const std::unique_ptr<std::FILE, decltype(&std::fclose)> file(std::fopen(path.c_str(), "rbe"),
                                                                &std::fclose);
  if (!file) fail("read", path, errno);
  std::array<char, 1 << 16> piece;
  while (const std::size_t size = std::fread(piece.data(), 1, piece.size(), file.get()))
    take(piece.data(), size);
  if (std::ferror(file.get())) fail("read", path, errno);
}

}  // namespace

DurableFile::DurableFile(const fs::path& path)
    : path_(path), descriptor_(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) {
  if (descriptor_ < 0) fail("create", path_, errno);
}

DurableFile::~DurableFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void DurableFile::write(const void* bytes, std::size_t size) {
  const char* next = static_cast<const char*>(bytes);
  while (size > 0) {
    const ssize_t written = ::write(descriptor_, next, size);
    if (written < 0) {
      if (errno == EINTR) continue;
      fail("write", path_, errno);
    }
    next += written;
    size -= static_cast<std::size_t>(written);
  }
}

void DurableFile::close() {
  const int descriptor = std::exchange(descriptor_, -1);
  int code = ::fsync(descriptor) == 0 ? 0 : errno;
  if (::close(descriptor) != 0 && code == 0) code = errno;
  if (code != 0) fail("write", path_, code);
}

void write_file_atomically(const fs::path& path, std::string_view text) {
  const fs::path aside = fmt::format("{}.{}.tmp", path.string(), ::getpid());
  try {
    DurableFile file(aside);
    file.write(text);
    file.close();
    move(aside, path);
  } catch (const Error&) {
    ::unlink(aside.c_str());
    throw;
  }
}

std::string read_file(const fs::path& path) {
  std::string text;
  read_pieces(path, [&](const char* piece, std::size_t size) { text.append(piece, size); });
  return text;
}

void copy_durably(const fs::path& from, const fs::path& to, const std::function<void()>& after_piece) {
  DurableFile copy(to);
  read_pieces(from, [&](const char* piece, std::size_t size) {
    copy.write(piece, size);
    after_piece();
  });
  copy.close();
}

void rename_durably(const fs::path& from, const fs::path& to) {
  sync(from);
  move(from, to);
  if (from.parent_path() != to.parent_path()) sync_parent(from);
}

void make_directory(const fs::path& path) {
  std::error_code code;
  fs::create_directories(path, code);
  if (code) fail("create directory", path, code.value());
}

void remove_directory(const fs::path& path) {
  std::error_code code;
  fs::remove_all(path, code);
  if (code) fail("delete", path, code.value());
}

}  // namespace lamina
