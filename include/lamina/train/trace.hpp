#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lamina/comm/transport.hpp"
#include "lamina/pipeline/timeline.hpp"

namespace lamina {

/// What one worker did, by its own clock.
struct WorkerTrace {
  int worker = 0;
  std::string host{};
  int pid = 0;
  double clock_offset_s = 0;  ///< added to this worker's clock gives the first worker's
  double clock_error_s = 0;   ///< by which the offset may be wrong at most
  std::int64_t num_overwritten = 0;
  std::vector<Span> spans{};
};

/// A worker's trace as the text that workers exchange, and back.
std::string to_text(const WorkerTrace& trace);
WorkerTrace worker_trace(const std::string& text);

/// All workers' traces as Chrome's trace format, JSON, which Perfetto (ui.perfetto.dev) and chrome://tracing
/// open: a track a worker, by the first worker's clock from the earliest span on; sends and receives of a
/// message joined by a flow; the messages on each lane and the age of each stage's snapshots as counters.
/// What was overwritten is named in the track's title.
std::string chrome_trace(const Schedule& schedule, const std::vector<WorkerTrace>& traces);

}  // namespace lamina
