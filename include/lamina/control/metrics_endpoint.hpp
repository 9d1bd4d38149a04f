#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lamina/control/run_figures.hpp"

namespace lamina {

/// Serves a run's figures over HTTP at /metrics, as Prometheus reads them. Figures that are unknown are left
/// out.
///
/// Threads   `newest` is called on the endpoint's own thread, once for every request.
/// Security  whoever reaches the address may read; nothing can be changed. Of 64 clients at once, the one
/// that has
///           asked for nothing longest gives way to a newcomer; who speaks no HTTP is turned away, of each
///           kind the first with a line in the log and the others counted.
class MetricsEndpoint {
 public:
  /// Listens on "PORT" of this host's loopback or on "HOST:PORT"; port 0 is any free one.
  /// @throws Error{config} if `listen` is neither; Error{device} if this host cannot listen there.
  MetricsEndpoint(const std::string& listen, std::function<RunFigures()> newest);
  /// Breaks off what is being answered.
  ~MetricsEndpoint();

  /// "host:port", with the port that it has.
  const std::string& address() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace lamina
