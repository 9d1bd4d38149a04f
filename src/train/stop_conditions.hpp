#pragma once

#include <filesystem>
#include <optional>

#include "lamina/core/clock.hpp"
#include "lamina/train/engine.hpp"
#include "lamina/train/run_config.hpp"

namespace lamina {

/// What ends a run early beside a signal: train.stop_before, and a file STOP in the run's directory. Worker 0
/// alone looks, and what it finds travels as any wish to stop does.
class StopConditions {
 public:
  explicit StopConditions(const RunConfig& config);

  /// Why the run is to stop, if it is; asked before every packet. The first time it says so in the log, and a
  /// file STOP is removed, so that the run can be resumed. The file is looked for once a second.
  StopReason met();

 private:
  bool find_stop_file();

  std::string stop_before_;
  Stopwatch watch_;
  std::optional<double> left_s_;  // of train.stop_before, when the watch began
  std::filesystem::path stop_file_;
  Clock::time_point look_at_{};
  StopReason met_ = StopReason::none;
};

}  // namespace lamina
