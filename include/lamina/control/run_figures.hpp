#pragma once

#include <limits>
#include <span>
#include <vector>

namespace lamina {

/// What is not known (yet), and what a run does not have.
inline constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

/// A module's part of the newest step.
struct ModuleFigures {
  int stage = 0;
  double loss = unknown;              ///< of the branch that its window trains by
  double independent_loss = unknown;  ///< of the other branch, where it has two
  double accuracy = unknown;          ///< in [0,1]
};

/// What the workers of a stage tell; seconds are sums since the process began.
struct StageFigures {
  int worker = 0;  ///< of replicas the first
  double compute_s = 0;
  double input_s = 0;     ///< waiting for the loader or the stage before
  double room_s = 0;      ///< waiting for the stage after
  double snapshot_s = 0;  ///< waiting for versions
  double replicas_s = 0;  ///< waiting for the other replicas' gradients
  double snapshot_age_steps = 0;
  double skipped_steps = 0;        ///< since the process began, by train.on_nonfinite: skip
  double memory_bytes = 0;         ///< resident in the process that computes the stage
  double device_memory_bytes = 0;  ///< the most that its tensors have taken of a GPU
};

/// A training run as somebody watches it: numbers only, the newest and sums since the process began.
struct RunFigures {
  double step = 0;  ///< steps done, also before a resume
  double planned_steps = 0;
  double epoch = 0;  ///< from 0
  double lr = 0;
  double images_per_s = 0;  ///< of the newest step
  double steps = 0;         ///< steps, images and seconds since the process began
  double images = 0;
  double seconds = 0;
  double test_accuracy = unknown;  ///< in [0,1], of the newest evaluation
  double test_loss = unknown;
  std::vector<ModuleFigures> modules{};
  std::vector<StageFigures> stages{};
};

/// All its numbers in a fixed order, as many for every run of the same modules and stages; the workers are
/// left out.
std::vector<double> to_numbers(const RunFigures& figures);

/// Takes over what to_numbers() gave for a run of as many modules and stages.
void set_numbers(RunFigures& figures, std::span<const double> numbers);

}  // namespace lamina
