#pragma once

#include <yaml-cpp/yaml.h>

#include <limits>
#include <list>
#include <string>
#include <string_view>
#include <vector>

#include "lamina/core/config.hpp"

namespace lamina {

/// A key of a configuration text with its value and where it was set.
struct Entry {
  static constexpr int kNoLine = std::numeric_limits<int>::max();

  std::string key{};
  std::string text{};  ///< that set it: a file's path, or --set
  int line = kNoLine;  ///< in the text
  YAML::Node value{};  ///< a map or null may be a section
  /// Of a section, in the order of the texts; every key once. A list, since it never assigns an element: to
  /// assign a YAML::Node changes all that share it, as an anchor's aliases do.
  std::list<Entry> entries{};

  bool is_section() const { return value.IsMap() || value.IsNull(); }
  /// "file:line", or "--set".
  std::string origin() const;

  /// The entry with this dotted key below this one, or null.
  const Entry* find(std::string_view dotted) const;
};

struct ConfigText::State {
  Entry root;
  std::vector<std::string> texts;  ///< their names, in the order in which they were laid; orders messages
};

}  // namespace lamina
