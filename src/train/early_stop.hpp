#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>

#include "lamina/train/run_config.hpp"

namespace lamina {

/// What is thought of an evaluation.
struct Verdict {
  bool stop = false;  ///< after the next one
  bool over = false;  ///< of where a run begins: it had been stopped there
};

/// Whether evaluations still get better (train.early_stop), as the sink sees it.
class EarlyStop {
 public:
  explicit EarlyStop(EarlyStopConfig config) : config_(std::move(config)) {}

  /// What has been evaluated before, from a run's metrics.jsonl, for a run that begins at `start_step`.
  void read(const std::filesystem::path& metrics, std::int64_t start_step);

  /// The newest evaluation. One that is not a number is not better than any.
  void add(double accuracy, double loss);

  Verdict verdict() const { return {is_exhausted(), over_}; }

 private:
  bool is_exhausted() const { return num_stale_ >= config_.patience; }

  EarlyStopConfig config_;
  double best_ = -std::numeric_limits<double>::infinity();
  std::int64_t num_stale_ = 0;  // evaluations since the best one
  bool over_ = false;
};

}  // namespace lamina
