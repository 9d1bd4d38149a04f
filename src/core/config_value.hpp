#pragma once

#include <yaml-cpp/yaml.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lamina/core/config.hpp"

namespace lamina {

/// Reads a YAML value into a field. If it does not fit, the field stays as it is and the answer says what was
/// expected and what was found.
std::optional<std::string> read_value(const YAML::Node& node, FieldRef field, const Rule& rule);

/// A field's value as YAML on one line; read_value reads it back exactly (numbers must be finite, texts
/// UTF-8).
std::string value_text(FieldRef field);

/// What a message calls a value, e.g. 'abc', [1, 'x'], a section.
std::string describe(const YAML::Node& node);

/// `; did you mean "epochs"?`, or nothing if no known word is near.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& known);

}  // namespace lamina
