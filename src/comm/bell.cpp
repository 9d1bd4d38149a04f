#include "comm/bell.hpp"

namespace lamina {

void Bell::abort(const std::string& reason, ErrorKind kind) {
  const Lock held = lock();
  if (!aborted_) aborted_ = Error(kind, reason);
  ring();
}

void Bell::require_running(const Lock&) const {
  if (aborted_) throw *aborted_;
}

}  // namespace lamina
