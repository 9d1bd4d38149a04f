#pragma once

#include <array>
#include <string_view>

#include "lamina/control/run_figures.hpp"

namespace lamina {

enum class FigureKind { gauge, counter };

/// A figure as the endpoint names it. Rows of the same name are one metric, told apart by their activity.
template <class Figures>
struct FigureField {
  std::string_view name;
  std::string_view help;
  FigureKind kind;
  double Figures::* value;
  std::string_view activity = "";
};

inline constexpr std::array run_fields = {
    FigureField<RunFigures>{"lamina_step", "Training steps done, also before a resume", FigureKind::gauge,
                            &RunFigures::step},
    FigureField<RunFigures>{"lamina_planned_steps", "Training steps the run will have had at its end",
                            FigureKind::gauge, &RunFigures::planned_steps},
    FigureField<RunFigures>{"lamina_epoch", "Epoch of the newest step, from 0", FigureKind::gauge,
                            &RunFigures::epoch},
    FigureField<RunFigures>{"lamina_learning_rate", "Learning rate of the newest step", FigureKind::gauge,
                            &RunFigures::lr},
    FigureField<RunFigures>{"lamina_images_per_second", "Throughput of the newest step", FigureKind::gauge,
                            &RunFigures::images_per_s},
    FigureField<RunFigures>{"lamina_steps_total", "Training steps since the process began",
                            FigureKind::counter, &RunFigures::steps},
    FigureField<RunFigures>{"lamina_images_total", "Training images since the process began",
                            FigureKind::counter, &RunFigures::images},
    FigureField<RunFigures>{"lamina_train_seconds_total", "Seconds of training steps since the process began",
                            FigureKind::counter, &RunFigures::seconds},
    FigureField<RunFigures>{"lamina_test_accuracy_ratio", "Of the newest evaluation", FigureKind::gauge,
                            &RunFigures::test_accuracy},
    FigureField<RunFigures>{"lamina_test_loss", "Of the newest evaluation", FigureKind::gauge,
                            &RunFigures::test_loss},
};

inline constexpr std::array module_fields = {
    FigureField<ModuleFigures>{"lamina_module_loss", "Of the branch that the module's window trains by",
                               FigureKind::gauge, &ModuleFigures::loss},
    FigureField<ModuleFigures>{"lamina_module_independent_loss", "Of the module's branch of its own",
                               FigureKind::gauge, &ModuleFigures::independent_loss},
    FigureField<ModuleFigures>{"lamina_module_accuracy_ratio", "Of the newest step's batch",
                               FigureKind::gauge, &ModuleFigures::accuracy},
};

inline constexpr std::string_view stage_seconds = "lamina_stage_seconds_total";
inline constexpr std::string_view stage_seconds_help = "Where the seconds of a stage's worker went";

inline constexpr std::array stage_fields = {
    FigureField<StageFigures>{stage_seconds, stage_seconds_help, FigureKind::counter,
                              &StageFigures::compute_s, "compute"},
    FigureField<StageFigures>{stage_seconds, stage_seconds_help, FigureKind::counter, &StageFigures::input_s,
                              "input"},
    FigureField<StageFigures>{stage_seconds, stage_seconds_help, FigureKind::counter, &StageFigures::room_s,
                              "room"},
    FigureField<StageFigures>{stage_seconds, stage_seconds_help, FigureKind::counter,
                              &StageFigures::snapshot_s, "snapshot"},
    FigureField<StageFigures>{stage_seconds, stage_seconds_help, FigureKind::counter,
                              &StageFigures::replicas_s, "replicas"},
    FigureField<StageFigures>{"lamina_stage_snapshot_age_steps", "Of the oldest snapshot that the stage used",
                              FigureKind::gauge, &StageFigures::snapshot_age_steps},
    FigureField<StageFigures>{"lamina_stage_skipped_steps_total",
                              "Steps that the stage left out, for numbers that are not finite",
                              FigureKind::counter, &StageFigures::skipped_steps},
    FigureField<StageFigures>{"lamina_stage_memory_bytes",
                              "Resident memory of the process that computes the stage", FigureKind::gauge,
                              &StageFigures::memory_bytes},
    FigureField<StageFigures>{"lamina_stage_device_memory_bytes",
                              "The most that the process's tensors have taken of its GPU", FigureKind::gauge,
                              &StageFigures::device_memory_bytes},
};

}  // namespace lamina
