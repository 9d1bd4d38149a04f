#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "lamina/study/study_file.hpp"

namespace lamina {

/// What a finished run found, out of its summary.json: the part of a row that is measured (docs/studies.md).
/// @throws Error{data} for a summary of another form, Error{storage} if there is none.
nlohmann::json measured(const std::filesystem::path& run);

/// What a finished training run tells over time, out of its metrics.jsonl: "curve", every evaluation as
/// [step, seconds since the beginning, accuracy]. @throws as measured().
nlohmann::json learned(const std::filesystem::path& run);

/// Gives a row with a curve its "seconds_to_accuracy", null if that was never reached; without an accuracy
/// takes it away.
void judge(nlohmann::json& row, std::optional<double> accuracy);

/// A line a row.
std::string to_jsonl(const std::vector<nlohmann::json>& rows);

/// The rows' scalars, with a heading; an axis is a column of its name.
std::string to_csv(const std::vector<nlohmann::json>& rows, const Study& study);

/// A line a cell that has finished runs, as Markdown: of several, the median with the lowest and the highest.
std::string to_markdown(const std::vector<nlohmann::json>& rows, const Study& study);

}  // namespace lamina
