#pragma once

#include <functional>
#include <string>
#include <vector>

#include "lamina/study/study_file.hpp"

namespace lamina {

struct StudyOptions {
  std::string out;                ///< the study's folder: one below it for every cell
  std::vector<std::string> only;  ///< parts of names: cells that have none of them are left alone; empty: all
  bool list = false;              ///< tell where every cell stands and run nothing
  int jobs = 1;                   ///< so many runs at a time
  bool resubmit = false;          ///< submit again what was submitted and has left no result
  std::string program;            ///< lamina itself, which every run is a new process of
  std::string versions;           ///< of lamina and its libraries, for the rows
  std::function<bool()> stop_requested = [] { return false; };
};

/// A cell that could not run.
struct CellFailure {
  std::string cell;
  std::string error;
  int exit_code = 0;  ///< below 0: the signal that ended it
};

struct StudyOutcome {
  std::vector<CellFailure> failures;  ///< of this call, in the order in which they happened
  bool stopped = false;
};

/// Runs what is missing of a study: the first repeat of every cell, then the second, and so on, so that a
/// machine that changes meanwhile changes for all of them. Every run is a process of its own, with a log
/// beside its folder; of several jobs each takes the next run as soon as its last has ended. A cell that
/// fails is left for the next call, and the others go on.
///
/// What is finished is not run again. A cell that the study defines otherwise than when it ran is begun anew,
/// and its old folder kept under another name.
///
/// Writes under `out`, after every run: results.jsonl, a line a run, finished or failed; results.csv, the
/// same without what is nested; study.json, the cells. Tells on standard output how it goes, and at the end
/// a table of all finished cells.
///
/// Blocking  until all is done, or `stop_requested`, which is handed on to the runs in progress.
/// @throws Error{storage}, also while another process runs a study in that folder; Error{config} if `only`
/// names no cell.
StudyOutcome run_study(const Study& study, const StudyOptions& options);

}  // namespace lamina
