#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "core/config_entry.hpp"
#include "core/config_value.hpp"
#include "lamina/core/error.hpp"

namespace lamina {
namespace {

constexpr const char* kOverride = "--set";
constexpr std::size_t kMostBytes = std::size_t{1} << 20;

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

// What a value takes with its aliases written out, of which a short text may have very many; an anchor may
// also make a value contain itself.
void add_bytes(const YAML::Node& node, std::size_t& bytes, int levels_left = 16) {
  constexpr std::size_t kOfEachValue = 16;
  bytes += kOfEachValue + (node.IsScalar() ? node.Scalar().size() : 0);
  if (levels_left == 0 || !(node.IsMap() || node.IsSequence())) return;
  for (const auto& item : node) {
    if (bytes > kMostBytes) return;
    if (node.IsSequence()) {
      add_bytes(item, bytes, levels_left - 1);
    } else {
      add_bytes(item.first, bytes, levels_left - 1);
      add_bytes(item.second, bytes, levels_left - 1);
    }
  }
}

/// Where the parser's newest document begins; of its contents nothing.
struct DocumentStart final : YAML::EventHandler {
  void OnDocumentStart(const YAML::Mark& at) override { mark = at; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
  }
  void OnMapEnd() override {}

  YAML::Mark mark;
};

// YAML::LoadAll finds documents without end in a text such as "&a, b", whose comma it never takes.
void require_one_document(const std::string& text, const Lines& lines) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  DocumentStart start;
  if (parser.HandleNextDocument(start) && parser.HandleNextDocument(start))
    refuse(lines.origin(start.mark), "expected one YAML document, found a second");
}

// What a run writes of its configuration is JSON.
void require_utf8(const std::string& text, const Lines& lines) {
  std::istringstream stream(text);
  int number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++number;
    if (!is_utf8(line))
      refuse(lines.numbered ? fmt::format("{}:{}", lines.text, number) : kOverride,
             "expected UTF-8, found other bytes");
  }
}

YAML::Node load(const std::string& text, const Lines& lines) {
  require_utf8(text, lines);
  try {
    require_one_document(text, lines);
    YAML::Node document = YAML::Load(text);
    std::size_t bytes = 0;
    add_bytes(document, bytes);
    if (bytes > kMostBytes)
      refuse(lines.origin(document.Mark()),
             fmt::format("expected values of at most {} bytes, all aliases written out, found more",
                         kMostBytes));
    return document;
  } catch (const YAML::Exception& error) {
    refuse(lines.origin(error.mark), fmt::format("expected YAML, found an error: {}", error.msg));
  }
}

std::list<Entry> sections_of(const YAML::Node& node, const Lines& lines, int depth = 0) {
  constexpr int kMostLevels = 8;  // an anchor may make a section contain itself
  std::list<Entry> entries;
  if (!node.IsMap()) return entries;
  if (depth == kMostLevels) {
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

bool is_utf8(const std::string& text) {
  try {
    static_cast<void>(nlohmann::json(text).dump());
    return true;
  } catch (const nlohmann::json::type_error&) {
    return false;
  }
}

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
  std::multimap<std::pair<std::ptrdiff_t, int>, std::string> lines;
  for (const auto& [key, message] : problems.entries()) {
    const Entry* entry = state_->root.find(key);
    const std::string text = entry ? entry->text : "";
    const auto number = std::ranges::find(state_->texts, text) - state_->texts.begin();
    lines.emplace(std::pair(number, entry ? entry->line : Entry::kNoLine),
                  fmt::format("{}: {}: {}", origin(key), key, message));
  }
  std::string all;
  for (const auto& [place, text] : lines) all += (all.empty() ? "" : "\n") + text;
  throw Error(ErrorKind::config, all);
}

}  // namespace lamina
