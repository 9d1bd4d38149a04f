#pragma once

#include <functional>
#include <string>

#include "lamina/study/run_view.hpp"

namespace lamina {

struct RunLook {
  RunSight sight;
  bool over = false;  ///< the run has ended, or is not to be seen any more
};

/// Looks at a run again and again: at its directory's metrics.jsonl, or at an endpoint "HOST:PORT". A look's
/// interval is of some seconds of training; the first look's is of the file's last lines, or of the time
/// since the process began.
///
/// Returns   what to call for each look; it blocks no longer than a request takes.
/// @throws Error{storage} if `where` is neither a directory nor an endpoint's address. The first look throws
/// Error{config} if nothing answers there; later ones tell it as the state.
std::function<RunLook()> watch_run(const std::string& where);

}  // namespace lamina
