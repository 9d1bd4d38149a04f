#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "lamina/control/run_figures.hpp"

namespace lamina {

/// Follows a run's metrics.jsonl while it is written, also over a resume, which shortens it.
class MetricsTail {
 public:
  /// Begins with the last `bytes` of what is there; sums are of the lines seen.
  explicit MetricsTail(std::filesystem::path file, std::int64_t bytes = 64 * 1024);

  /// Reads what has been added; true if that was a step or an evaluation. A file that is not there yet, or is
  /// no longer, has nothing; a line that is still being written waits for its end.
  bool read();

  const RunFigures& figures() const { return figures_; }

 private:
  bool take(const std::string& line);

  std::filesystem::path file_;
  std::int64_t bytes_;
  std::int64_t position_ = -1;  // of what has not been read; -1: the file has not been seen
  std::string unfinished_;      // a line without its end
  RunFigures figures_;
};

}  // namespace lamina
