#pragma once

#include <string>

#include "lamina/control/host_port.hpp"
#include "lamina/control/run_figures.hpp"
#include "lamina/core/clock.hpp"

namespace lamina {

/// What a MetricsEndpoint shows. Blocking, for `limit` at most; a lookup of the host's name that takes longer
/// is left behind, on a thread of its own.
/// @throws Error{config} if nobody answers there in time, or what answers is not such an endpoint.
RunFigures fetch_figures(const HostPort& endpoint, Seconds limit);

/// The figures in an endpoint's text; what it does not say stays unknown or 0, and lines of other metrics are
/// passed over. @throws Error{config} if none of its lines is of a run.
RunFigures figures_in(const std::string& text);

}  // namespace lamina
