#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>

#include "lamina/core/clock.hpp"
#include "lamina/core/error.hpp"

namespace lamina {

/// The lock and the signal behind everything that a transport lets its callers wait for, and the reason why
/// it was aborted. In-process workers share one bell; a process under MPI has its own.
class Bell {
 public:
  using Lock = std::unique_lock<std::mutex>;

  Lock lock() { return Lock(mutex_); }

  /// Tells all waiters to look again.
  void ring() { changed_.notify_all(); }

  /// Waits until `ready()`, which is called under the lock, or until `limit` is over: then returns false.
  /// @throws Error with abort()'s kind and reason, if it is not ready and the transport is aborted.
  template <class Ready>
  bool wait(Lock& held, Seconds limit, Ready ready) {
    ++num_waiting_;
    changed_.wait_for(held, for_a_wait(limit), [&] { return ready() || aborted_; });
    --num_waiting_;
    const bool is_ready = ready();
    if (!is_ready) require_running(held);
    return is_ready;
  }

  /// True while any thread waits.
  bool has_waiters() {
    const Lock held = lock();
    return num_waiting_ > 0;
  }

  /// Makes every wait fail from now on, with an Error of this kind. The first reason stays.
  void abort(const std::string& reason, ErrorKind kind = ErrorKind::peer_lost);

  /// @throws Error with the reason, once aborted.
  void require_running(const Lock& held) const;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int num_waiting_ = 0;
  std::optional<Error> aborted_;
};

}  // namespace lamina
