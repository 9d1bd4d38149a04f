#pragma once

#include <yaml-cpp/yaml.h>

#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "lamina/core/config.hpp"

namespace lamina {

/// A key of a configuration text with its value and where it was set.
struct Entry {
  static constexpr int kNoLine = std::numeric_limits<int>::max();

  std::string key{};
  std::string origin{};
  int line = kNoLine;            ///< in the file; orders messages
  YAML::Node value{};            ///< a map or null may be a section
  std::vector<Entry> entries{};  ///< of a section, in the order of the text; a key may stand there twice

  bool is_section() const { return value.IsMap() || value.IsNull(); }

  /// The last entry with this dotted key below this one, or null.
  const Entry* find(std::string_view dotted) const;
};

struct ConfigText::State {
  Entry root;
};

}  // namespace lamina
