#include "lamina/core/error.hpp"

#include <algorithm>
#include <filesystem>
#include <new>
#include <system_error>

namespace lamina {
std::string_view name(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::config:
      return "config";
    case ErrorKind::data:
      return "data";
    case ErrorKind::checkpoint:
      return "checkpoint";
    case ErrorKind::storage:
      return "storage";
    case ErrorKind::contract:
      return "contract";
    case ErrorKind::peer_lost:
      return "peer_lost";
    case ErrorKind::timeout:
      return "timeout";
    case ErrorKind::device:
      return "device";
    case ErrorKind::nonfinite:
      return "nonfinite";
  }
  return "unknown";
}

// Up to the trace that c10::Error puts behind its message, which this layer cannot ask it for.
std::string on_one_line(std::string text) {
  text.resize(std::min(text.find("\nException raised from "), text.size()));
  while (text.ends_with('\n')) text.pop_back();
  for (std::size_t end = text.find('\n'); end != text.npos; end = text.find('\n', end))
    text.replace(end, 1, "; ");
  return text;
}

Error as_error(const std::exception& exception) {
  if (const auto* ours = dynamic_cast<const Error*>(&exception)) return *ours;
  if (const auto* file = dynamic_cast<const std::filesystem::filesystem_error*>(&exception))
    return {ErrorKind::storage, file->path1().string() + ": " + on_one_line(file->code().message())};
  if (dynamic_cast<const std::system_error*>(&exception))
    return {ErrorKind::device, on_one_line(exception.what())};
  if (dynamic_cast<const std::bad_alloc*>(&exception))
    return {ErrorKind::device, "memory: expected more than this host has left"};
  // LibTorch's allocator of the CPU throws nothing more particular than c10::Error.
  const bool lacks_memory =
      std::string_view(exception.what()).find("can't allocate memory") != std::string_view::npos;
  return {lacks_memory ? ErrorKind::device : ErrorKind::contract, on_one_line(exception.what())};
}

}  // namespace lamina
