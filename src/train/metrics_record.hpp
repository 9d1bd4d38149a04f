#pragma once

#include <nlohmann/json.hpp>

#include "lamina/control/run_figures.hpp"
#include "lamina/pipeline/packet.hpp"

namespace lamina {

/// The line of metrics.jsonl on a training step that took `step_s`; `run` says who computes what.
nlohmann::json train_record(const Packet& packet, double step_s, const RunFigures& run);

/// The line on an evaluation that this packet closes.
nlohmann::json eval_record(const Packet& packet, double accuracy, double loss, std::int64_t images);

/// Brings a run's figures up to a line of its metrics.jsonl. Lines of other kinds change nothing.
/// @throws nlohmann::json::exception if it is no such line.
void add_record(RunFigures& figures, const nlohmann::json& record);

}  // namespace lamina
