#include "lamina/core/error.hpp"

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

}  // namespace lamina
