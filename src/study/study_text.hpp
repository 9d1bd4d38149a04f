#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lamina {

/// A configuration file, or keys that stand in the study itself.
struct StudyLayer {
  std::string file;    ///< empty: `text`
  std::string text{};  ///< YAML on one line
  int line = 0;        ///< of the study, where `text` stands
};

struct AxisValue {
  std::string label;
  std::vector<StudyLayer> layers;
};

struct StudyAxis {
  std::string name;
  bool is_key = false;  ///< of a configuration, else a group of keys
  std::vector<AxisValue> values;
};

/// Cells by (axis, labels): those that have one of the labels on each of the axes.
using CellPattern = std::vector<std::pair<std::string, std::vector<std::string>>>;

struct StudyAdjustment {
  CellPattern when;
  std::vector<StudyLayer> layers;
  std::vector<std::string> arguments;
  std::optional<std::int64_t> repeats;
};

/// A study file as it is written.
struct StudyText {
  std::string path;
  std::string title;
  std::vector<StudyLayer> base;
  std::vector<StudyAxis> axes;
  std::vector<CellPattern> exclude;
  std::vector<StudyAdjustment> adjust;
  std::vector<std::string> run;
  std::vector<std::string> through;
  std::vector<std::string> submit;
  std::int64_t repeats = 1;
  std::optional<double> to_accuracy;
};

/// @throws Error{config} with file:line
StudyText read_study_text(const std::string& path);

}  // namespace lamina
