#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/config_entry.hpp"
#include "core/config_value.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"

namespace lamina {
namespace {

constexpr const char* kOverride = "--set";

[[noreturn]] void fail(const std::string& origin, const std::string& message) {
  throw Error(ErrorKind::config, fmt::format("{}: {}", origin, message));
}

/// Names the lines of one text in messages; those of an override have no number.
class Lines {
 public:
  explicit Lines(std::string text_name, bool numbered)
      : text_name_(std::move(text_name)), numbered_(numbered) {}

  int number(const YAML::Mark& mark) const {
    return numbered_ && !mark.is_null() ? mark.line + 1 : Entry::kNoLine;
  }
  std::string origin(const YAML::Mark& mark) const {
    const int line = number(mark);
    return line == Entry::kNoLine ? text_name_ : fmt::format("{}:{}", text_name_, line);
  }

 private:
  std::string text_name_;
  bool numbered_;
};

YAML::Node load(const std::string& text, const Lines& lines) {
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.size() > 1) {
      fail(lines.origin(documents[1].Mark()),
           fmt::format("expected one YAML document, found {}", documents.size()));
    }
    return documents.empty() ? YAML::Node() : documents.front();
  } catch (const YAML::Exception& error) {
    fail(lines.origin(error.mark), fmt::format("expected YAML, found an error: {}", error.msg));
  }
}

std::vector<Entry> sections_of(const YAML::Node& node, const Lines& lines, int depth = 0) {
  constexpr int kMostDepth = 8;  // an anchor may make a section contain itself
  std::vector<Entry> entries;
  if (!node.IsMap()) return entries;
  if (depth == kMostDepth) {
    fail(lines.origin(node.Mark()),
         fmt::format("expected sections at most {} deep, found a deeper one", depth));
  }
  for (const auto& pair : node) {
    const YAML::Node& key = pair.first;
    const YAML::Mark mark = key.Mark();
    if (!key.IsScalar())
      fail(lines.origin(mark), fmt::format("expected a word as key, found {}", describe(key)));
    entries.push_back({.key = key.Scalar(),
                       .origin = lines.origin(mark),
                       .line = lines.number(mark),
                       .value = pair.second,
                       .entries = sections_of(pair.second, lines, depth + 1)});
  }
  return entries;
}

/// The last entry of this key in a section, made if there is none.
Entry& entry_in(Entry& section, std::string_view key) {
  const auto found = std::find_if(section.entries.rbegin(), section.entries.rend(),
                                  [&](const Entry& entry) { return entry.key == key; });
  if (found != section.entries.rend()) return *found;
  return section.entries.emplace_back(Entry{.key = std::string(key), .origin = kOverride});
}

}  // namespace

const Entry* Entry::find(std::string_view dotted) const {
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    if (!dotted.starts_with(entry->key)) continue;
    const std::string_view rest = dotted.substr(entry->key.size());
    if (rest.empty()) return &*entry;
    if (rest.front() != '.') continue;
    if (const Entry* below = entry->find(rest.substr(1))) return below;
  }
  return nullptr;
}

ConfigText::ConfigText(std::unique_ptr<State> state) : state_(std::move(state)) {}
ConfigText::ConfigText(ConfigText&&) noexcept = default;
ConfigText& ConfigText::operator=(ConfigText&&) noexcept = default;
ConfigText::~ConfigText() = default;

ConfigText ConfigText::from_file(const std::string& path) {
  std::string text;
  try {
    text = read_file(path);
  } catch (const Error& error) {
    throw Error(ErrorKind::config, fmt::format("expected a configuration file: {}", error.what()));
  }
  return from_text(text, path);
}

ConfigText ConfigText::from_text(const std::string& text, const std::string& origin) {
  const Lines lines(origin, true);
  const YAML::Node node = load(text, lines);
  if (!node.IsMap() && !node.IsNull()) {
    fail(lines.origin(node.Mark()), fmt::format("expected keys with values, found {}", describe(node)));
  }
  auto state = std::make_unique<State>();
  state->root = {.origin = origin, .value = node, .entries = sections_of(node, lines)};
  return ConfigText(std::move(state));
}

void ConfigText::set(const std::string& assignment) {
  const std::string origin = fmt::format("{} {}", kOverride, assignment);
  const std::size_t equals = assignment.find('=');
  const std::string_view key = std::string_view(assignment).substr(0, equals);
  if (equals == std::string::npos || key.empty() || key.front() == '.' || key.back() == '.' ||
      key.find("..") != key.npos) {
    fail(origin, fmt::format("expected section.key=value, found '{}'", assignment));
  }
  const YAML::Node value = load(assignment.substr(equals + 1), Lines(origin, false));
  std::vector<Entry> entries = sections_of(value, Lines(kOverride, false));

  Entry* section = &state_->root;
  std::string_view rest = key;
  for (std::size_t dot = rest.find('.'); dot != rest.npos; dot = rest.find('.')) {
    section = &entry_in(*section, rest.substr(0, dot));
    if (!section->is_section()) section->value = YAML::Node(YAML::NodeType::Map);
    rest.remove_prefix(dot + 1);
  }
  entry_in(*section, rest) = {
      .key = std::string(rest), .origin = kOverride, .value = value, .entries = std::move(entries)};
}

std::string ConfigText::origin(std::string_view key) const {
  const Entry* entry = state_->root.find(key);
  return entry ? entry->origin : "default";
}

void ConfigText::raise(const Problems& problems) const {
  if (problems.empty()) return;
  std::vector<std::pair<int, std::string>> lines;
  for (const auto& [key, message] : problems.entries()) {
    const Entry* entry = state_->root.find(key);
    lines.emplace_back(entry ? entry->line : Entry::kNoLine,
                       fmt::format("{}: {}: {}", origin(key), key, message));
  }
  std::ranges::stable_sort(lines, {}, [](const auto& line) { return line.first; });
  std::string all;
  for (const auto& [number, text] : lines) all += (all.empty() ? "" : "\n") + text;
  throw Error(ErrorKind::config, all);
}

}  // namespace lamina
