#include "comm/bell.hpp"

#include "lamina/core/error.hpp"

namespace lamina {

void Bell::abort(const std::string& reason) {
  const Lock held = lock();
  if (!aborted_) aborted_ = reason;
  ring();
}

void Bell::require_running(const Lock&) const {
  if (aborted_) throw Error(ErrorKind::peer_lost, *aborted_);
}

}  // namespace lamina
