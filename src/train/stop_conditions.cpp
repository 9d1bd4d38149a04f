#include "stop_conditions.hpp"

#include <fmt/format.h>

#include "lamina/core/duration.hpp"
#include "lamina/core/log.hpp"
#include "lamina/core/process.hpp"

namespace lamina {
namespace {

constexpr std::chrono::seconds between_looks{1};

}  // namespace

StopConditions::StopConditions(const RunConfig& config)
    : stop_before_(config.train.stop_before), stop_file_(std::filesystem::path(config.out) / "STOP") {
  if (const auto limit = duration(stop_before_)) left_s_ = limit->count() - run_age_s();
}

StopReason StopConditions::met() {
  if (met_ != StopReason::none) return met_;
  if (left_s_ && watch_.elapsed_s() >= *left_s_) {
    met_ = StopReason::stop_before;
    log_info(fmt::format("stopping with a checkpoint: train.stop_before: {} is over", stop_before_));
  } else if (find_stop_file()) {
    met_ = StopReason::stop_file;
    log_info(fmt::format("stopping with a checkpoint: found {}", stop_file_.string()));
    std::error_code stays;
    std::filesystem::remove(stop_file_, stays);
    if (stays)
      log_warning(fmt::format("{}: expected to remove it, found: {}", stop_file_.string(), stays.message()));
  }
  return met_;
}

bool StopConditions::find_stop_file() {
  if (Clock::now() < look_at_) return false;
  look_at_ = Clock::now() + between_looks;
  std::error_code unreadable;
  return std::filesystem::exists(stop_file_, unreadable);
}

}  // namespace lamina
