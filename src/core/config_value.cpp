#include "core/config_value.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <utility>

namespace lamina {
namespace {

// parse() returns whether the node holds a value of the type that the rule allows, in the order bool to
// IntLists.

bool parse(const YAML::Node& node, const Rule&, bool& value) {
  return node.IsScalar() && YAML::convert<bool>::decode(node, value);
}

template <class Number>
  requires(std::integral<Number> || std::floating_point<Number>)
bool parse(const YAML::Node& node, const Rule& rule, Number& value) {
  if (!node.IsScalar()) return false;
  const std::string& digits = node.Scalar();
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc{} || end != digits.data() + digits.size()) return false;
  const double size = static_cast<double>(value);
  return std::isfinite(size) && size >= rule.least && size <= rule.most;
}

bool parse(const YAML::Node& node, const Rule& rule, std::string& value) {
  if (!node.IsScalar()) return false;
  value = node.Scalar();
  return rule.choices.empty() || std::ranges::count(rule.choices, value) > 0;
}

bool parse(const YAML::Node& node, const Rule& rule, IntOrAuto& value) {
  value.reset();
  return (node.IsScalar() && node.Scalar() == "auto") || parse(node, rule, value.emplace());
}

template <class Item>
bool parse(const YAML::Node& node, const Rule& rule, std::vector<Item>& value) {
  if (!node.IsSequence()) return false;
  value.clear();
  return std::all_of(node.begin(), node.end(),
                     [&](const YAML::Node& item) { return parse(item, rule, value.emplace_back()); });
}

bool parse(const YAML::Node& node, const Rule& rule, IntOrList& value) {
  return node.IsSequence() ? parse(node, rule, value.emplace<1>()) : parse(node, rule, value.emplace<0>());
}

bool parse(const YAML::Node& node, const Rule& rule, WordOrLists& value) {
  return node.IsSequence() ? parse(node, rule, value.emplace<1>()) : parse(node, rule, value.emplace<0>());
}

std::string range_text(const Rule& rule) {
  const bool from_below = std::isfinite(rule.least);
  const bool from_above = std::isfinite(rule.most);
  if (from_below && from_above) return fmt::format(" between {} and {}", rule.least, rule.most);
  if (from_below) return fmt::format(" of at least {}", rule.least);
  if (from_above) return fmt::format(" of at most {}", rule.most);
  return "";
}

std::string expectation(FieldRef field, const Rule& rule) {
  if (!rule.choices.empty())
    return fmt::format(
        "one of {}{}", fmt::join(rule.choices, ", "),
        std::holds_alternative<WordOrLists*>(field) ? ", or a list of lists of lists of integers" : "");
  static constexpr std::array<const char*, std::variant_size_v<FieldRef>> kNouns = {
      "true or false",
      "an integer{}",
      "a number{}",
      "a text",
      "an integer{}, or auto",
      "an integer{}, or a list of such",
      "a list of lists of integers{}",
      "a word, or a list of lists of lists of integers{}",
  };
  return fmt::format(fmt::runtime(kNouns[field.index()]), range_text(rule));
}

/// The text between double quotes as YAML has it.
std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += {'\\', c};
    } else if (const auto byte = static_cast<unsigned char>(c); byte < 0x20 || byte == 0x7f) {
      result += fmt::format("\\x{:02x}", byte);
    } else {
      result += c;
    }
  }
  return result;
}

/// Whether YAML reads the text back as it stands, wherever a value may stand; some are quoted without need.
bool is_plain(std::string_view text) {
  static constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/";
  static constexpr std::array<std::string_view, 3> kNulls = {"null", "Null", "NULL"};
  return !text.empty() && kLetters.find(text.front()) != text.npos && std::ranges::count(kNulls, text) == 0 &&
         std::ranges::all_of(
             text, [](char c) { return kLetters.find(c) != kLetters.npos || c == '.' || c == '-'; });
}

std::string print(bool value) {
  return value ? "true" : "false";
}
std::string print(std::int64_t value) {
  return fmt::format("{}", value);
}
std::string print(double value) {
  return fmt::format("{}", value);
}
std::string print(const std::string& value) {
  return is_plain(value) ? value : fmt::format("\"{}\"", escaped(value));
}
std::string print(const IntOrAuto& value) {
  return value ? print(*value) : "auto";
}

template <class Item>
std::string print(const std::vector<Item>& value) {
  std::vector<std::string> items;
  for (const Item& item : value) items.push_back(print(item));
  return fmt::format("[{}]", fmt::join(items, ", "));
}

std::string print(const IntOrList& value) {
  return std::visit([](const auto& held) { return print(held); }, value);
}
std::string print(const WordOrLists& value) {
  return std::visit([](const auto& held) { return print(held); }, value);
}

std::string describe(const YAML::Node& node, int depth) {
  if (node.IsScalar()) return fmt::format("'{}'", escaped(node.Scalar()));
  if (node.IsMap()) return "a section";
  if (!node.IsSequence()) return "nothing";
  if (depth == 0) return "[...]";  // an anchor may make a list contain itself
  std::vector<std::string> items;
  for (const YAML::Node& item : node) items.push_back(describe(item, depth - 1));
  return fmt::format("[{}]", fmt::join(items, ", "));
}

}  // namespace

std::optional<std::string> read_value(const YAML::Node& node, FieldRef field, const Rule& rule) {
  const bool fits = std::visit(
      [&](auto* target) {
        auto value = *target;
        const bool parsed = parse(node, rule, value);
        if (parsed) *target = std::move(value);
        return parsed;
      },
      field);
  if (fits) return std::nullopt;
  return fmt::format("expected {}, found {}{}", expectation(field, rule), describe(node),
                     node.IsScalar() ? did_you_mean(node.Scalar(), rule.choices) : "");
}

std::string value_text(FieldRef field) {
  return std::visit([](const auto* value) { return print(*value); }, field);
}

std::string describe(const YAML::Node& node) {
  return describe(node, 2);
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known) {
  const std::optional<std::string> meant = nearest(word, known);
  return meant ? fmt::format("; did you mean \"{}\"?", *meant) : "";
}

}  // namespace lamina
