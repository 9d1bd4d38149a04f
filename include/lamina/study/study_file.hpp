#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lamina {

/// One combination of a study's axes.
struct StudyCell {
  std::string name;                                         ///< its folder, e.g. "resnet32,dgl,workers=2"
  std::vector<std::pair<std::string, std::string>> place;   ///< (axis, value), in the axes' order
  std::vector<std::pair<std::string, std::string>> config;  ///< (dotted key, value as YAML), all of them
  std::string yaml;              ///< the same as a file that `lamina` reads; empty where `error` says why
  std::string error;             ///< in one line: why there is no such configuration
  std::vector<std::string> run;  ///< a subcommand of lamina and its arguments, but CONFIG and --out
  std::string digest;  ///< of what is run and of the values that are not the defaults; not of the repeats;
                       ///< empty with an error
  std::int64_t repeats = 1;
  std::int64_t seed = 0;  ///< of the first repeat

  /// Further repeats of a training run begin with other first values, and go in another order.
  std::int64_t seed_of(std::int64_t repeat) const { return seed + repeat; }
};

/// What a study runs, and in which order.
struct Study {
  std::string name;   ///< the file's, without its ending
  std::string title;  ///< for people
  std::vector<std::string> axes;
  std::vector<StudyCell> cells;
  std::string command;                ///< the subcommand of lamina, the same for all cells
  std::vector<std::string> through;   ///< launch/run and its arguments; empty: started plainly
  std::vector<std::string> submit;    ///< what hands a script of cluster/ to a scheduler; empty: run here
  std::optional<double> to_accuracy;  ///< in [0,1]: the time to it is of interest

  bool trains() const { return command == "train"; }
};

/// Reads a study (docs/studies.md) and works out its cells: every combination of its axes' values but the
/// excluded ones, the last axis fastest. A configuration that is refused is its cell's `error`.
/// @param sets  overrides "key=value", laid over every cell.
/// @throws Error{config} with file:line for what is wrong with the study itself.
Study read_study(const std::string& path, const std::vector<std::string>& sets);

}  // namespace lamina
