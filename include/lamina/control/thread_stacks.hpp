#pragma once

#include <string>
#include <vector>

#include "lamina/core/clock.hpp"

namespace lamina {

/// Where a thread of this process is.
struct ThreadStack {
  int id = 0;                       ///< the system's
  std::string name;                 ///< the system's
  std::vector<std::string> frames;  ///< the innermost first; none if the thread did not answer
};

/// The stacks of all threads of this process but the calling one. Each is asked by a signal
/// (SIGRTMIN + 4, which is handled from then on) and writes its own return addresses down, without a lock or
/// the heap; they get their names afterwards.
///
/// Threads  one call at a time. A thread that blocks the signal, or does not wake, has no frames.
/// Blocking for about `limit` in all, of which each thread has its share of what those before it have left;
///          and a second or so for the names.
std::vector<ThreadStack> thread_stacks(Seconds limit);

/// A line a thread and a line a frame.
std::string text(const std::vector<ThreadStack>& stacks);

}  // namespace lamina
