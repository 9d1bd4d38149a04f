#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "lamina/study/study_file.hpp"

namespace lamina {

/// Where a study keeps what it knows, below one folder:
///
///     results.jsonl, results.csv, study.json
///     CELL/cell.json, config.yaml
///     CELL/repeat-N/       the run's own files
///     CELL/repeat-N.log    what it printed
///     CELL/repeat-N.json   its row of the results
///     CELL/repeat-N.job    what the scheduler called it, and when it was submitted; until its row is there
///
/// Errors  every member throws Error{storage}.
class StudyFolder {
 public:
  StudyFolder(std::filesystem::path out, const Study& study) : out_(std::move(out)), study_(study) {}

  std::filesystem::path config(const StudyCell& cell) const { return out_ / cell.name / "config.yaml"; }
  std::filesystem::path run(const StudyCell& cell, std::int64_t repeat) const {
    return named(cell, repeat, "");
  }
  std::filesystem::path log(const StudyCell& cell, std::int64_t repeat) const {
    return named(cell, repeat, ".log");
  }

  /// Whether a cell of that name was defined otherwise when it ran. One that cannot run leaves what is there.
  bool is_outdated(const StudyCell& cell) const;
  struct Prepared {
    std::string put_aside;  ///< the name that an outdated folder has now; empty if there was none
    std::string is_back;    ///< the name of one that was put aside and is the cell's again
  };
  /// Makes the folder of a cell that can run, or finds the one that it had when it was defined as it is now.
  Prepared prepare(const StudyCell& cell);

  std::optional<nlohmann::json> row(const StudyCell& cell, std::int64_t repeat) const;
  void keep_row(const StudyCell& cell, std::int64_t repeat, const nlohmann::json& row);
  /// What is known of a run that was submitted, with its "job"; nothing if it was not.
  std::optional<nlohmann::json> job(const StudyCell& cell, std::int64_t repeat) const;
  void keep_job(const StudyCell& cell, std::int64_t repeat, const nlohmann::json& job);
  /// Whether the run's summary is there and says that it came to its end.
  bool has_ended(const StudyCell& cell, std::int64_t repeat) const;

  void write_study();
  /// All rows of the cells that are not outdated, in the study's order, repeat by repeat; of a cell that
  /// cannot run, one that says so.
  std::vector<nlohmann::json> rows() const;
  void write_results();

 private:
  std::string put_aside(const StudyCell& cell, const std::string& digest, int copy) const;
  std::filesystem::path named(const StudyCell& cell, std::int64_t repeat, const char* ending) const;

  std::filesystem::path out_;
  const Study& study_;
};

}  // namespace lamina
