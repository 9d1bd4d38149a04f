#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/config_entry.hpp"
#include "core/config_value.hpp"
#include "lamina/core/error.hpp"

namespace lamina {
namespace {

constexpr const char* kOverride = "--set";

[[noreturn]] void refuse(const std::string& origin, const std::string& message) {
  throw Error(ErrorKind::config, fmt::format("{}: {}", origin, message));
}

/// Names the lines of one text in messages; those of an override have no number.
struct Lines {
  std::string text;
  bool numbered = true;

  int number(const YAML::Mark& mark) const {
    return numbered && !mark.is_null() ? mark.line + 1 : Entry::kNoLine;
  }
  std::string origin(const YAML::Mark& mark) const {
    return Entry{.text = text, .line = number(mark)}.origin();
  }
};

YAML::Node load(const std::string& text, const Lines& lines) {
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.size() > 1) {
      refuse(lines.origin(documents[1].Mark()),
             fmt::format("expected one YAML document, found {}", documents.size()));
    }
    return documents.empty() ? YAML::Node() : documents.front();
  } catch (const YAML::Exception& error) {
    refuse(lines.origin(error.mark), fmt::format("expected YAML, found an error: {}", error.msg));
  }
}

std::list<Entry> sections_of(const YAML::Node& node, const Lines& lines, int depth = 0) {
  constexpr int kMostDepth = 8;  // an anchor may make a section contain itself
  std::list<Entry> entries;
  if (!node.IsMap()) return entries;
  if (depth == kMostDepth) {
    refuse(lines.origin(node.Mark()),
           fmt::format("expected sections at most {} deep, found a deeper one", depth));
  }
  for (const auto& pair : node) {
    const YAML::Node& key = pair.first;
    const YAML::Mark mark = key.Mark();
    if (!key.IsScalar())
      refuse(lines.origin(mark), fmt::format("expected a word as key, found {}", describe(key)));
    const auto same = std::ranges::find(entries, key.Scalar(), &Entry::key);
    if (same != entries.end())
      refuse(lines.origin(mark),
             fmt::format("{}: expected the key once, found it before at {}", same->key, same->origin()));
    entries.push_back({.key = key.Scalar(),
                       .text = lines.text,
                       .line = lines.number(mark),
                       .value = pair.second,
                       .entries = sections_of(pair.second, lines, depth + 1)});
  }
  return entries;
}

void lay_over(Entry& section, std::list<Entry> entries) {
  for (Entry& entry : entries) {
    const auto same = std::ranges::find(section.entries, entry.key, &Entry::key);
    if (same == section.entries.end())
      section.entries.push_back(std::move(entry));
    else if (same->is_section() && entry.is_section())
      lay_over(*same, std::move(entry.entries));
    else
      section.entries.insert(section.entries.erase(same), std::move(entry));
  }
}

}  // namespace

std::string Entry::origin() const {
  return line == kNoLine ? text : fmt::format("{}:{}", text, line);
}

const Entry* Entry::find(std::string_view dotted) const {
  for (const Entry& entry : entries) {
    if (!dotted.starts_with(entry.key)) continue;
    const std::string_view rest = dotted.substr(entry.key.size());
    if (rest.empty()) return &entry;
    if (rest.front() != '.') continue;
    if (const Entry* below = entry.find(rest.substr(1))) return below;
  }
  return nullptr;
}

ConfigText::ConfigText(std::unique_ptr<State> state) : state_(std::move(state)) {}
ConfigText::ConfigText(ConfigText&&) noexcept = default;
ConfigText& ConfigText::operator=(ConfigText&&) noexcept = default;
ConfigText::~ConfigText() = default;

ConfigText ConfigText::from_text(const std::string& text, const std::string& origin) {
  const Lines lines{origin};
  const YAML::Node node = load(text, lines);
  if (!node.IsMap() && !node.IsNull()) {
    refuse(lines.origin(node.Mark()), fmt::format("expected keys with values, found {}", describe(node)));
  }
  auto state = std::make_unique<State>();
  state->root.entries = sections_of(node, lines);
  state->texts = {origin};
  return ConfigText(std::move(state));
}

void ConfigText::lay(ConfigText over) {
  lay_over(state_->root, std::move(over.state_->root.entries));
  std::ranges::move(over.state_->texts, std::back_inserter(state_->texts));
}

void ConfigText::set(const std::string& assignment) {
  const std::string origin = fmt::format("{} {}", kOverride, assignment);
  const std::size_t equals = assignment.find('=');
  std::string_view key = std::string_view(assignment).substr(0, equals);
  if (equals == std::string::npos || key.empty() || key.front() == '.' || key.back() == '.' ||
      key.find("..") != key.npos) {
    refuse(origin, fmt::format("expected section.key=value, found '{}'", assignment));
  }
  const YAML::Node value = load(assignment.substr(equals + 1), {origin, false});
  Entry root;
  Entry* section = &root;
  for (std::size_t dot = key.find('.'); dot != key.npos; dot = key.find('.')) {
    section = &section->entries.emplace_back(Entry{
        .key = std::string(key.substr(0, dot)), .text = kOverride, .value = YAML::Node(YAML::NodeType::Map)});
    key.remove_prefix(dot + 1);
  }
  section->entries.push_back({.key = std::string(key),
                              .text = kOverride,
                              .value = value,
                              .entries = sections_of(value, {kOverride, false})});
  lay_over(state_->root, std::move(root.entries));
}

std::string ConfigText::origin(std::string_view key) const {
  const Entry* entry = state_->root.find(key);
  return entry ? entry->origin() : "default";
}

void ConfigText::raise(const Problems& problems) const {
  if (problems.empty()) return;
  // By text, then by line; overrides and defaults belong to none and come last.
  std::vector<std::pair<std::pair<std::ptrdiff_t, int>, std::string>> lines;
  for (const auto& [key, message] : problems.entries()) {
    const Entry* entry = state_->root.find(key);
    const std::string text = entry ? entry->text : "";
    lines.push_back({{std::ranges::find(state_->texts, text) - state_->texts.begin(),
                      entry ? entry->line : Entry::kNoLine},
                     fmt::format("{}: {}: {}", origin(key), key, message)});
  }
  std::ranges::stable_sort(lines, {}, [](const auto& line) { return line.first; });
  std::string all;
  for (const auto& [place, text] : lines) all += (all.empty() ? "" : "\n") + text;
  throw Error(ErrorKind::config, all);
}

}  // namespace lamina
