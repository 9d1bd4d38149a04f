#include "study/study_text.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <sstream>

#include "lamina/core/config.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

void flow(YAML::Node node) {
  if (node.IsScalar() || node.IsNull()) return;
  node.SetStyle(YAML::EmitterStyle::Flow);
  for (auto&& item : node) flow(node.IsMap() ? item.second : item);
}

// On one line.
std::string flow_text(const YAML::Node& node) {
  YAML::Node copy = YAML::Clone(node);
  flow(copy);
  return YAML::Dump(copy);
}

// "pipeline.workers" and "2" as "{pipeline: {workers: 2}}".
std::string nested(const std::string& key, const std::string& value) {
  const std::size_t dot = key.find('.');
  const std::string below = dot == key.npos ? value : nested(key.substr(dot + 1), value);
  return fmt::format("{{{}: {}}}", key.substr(0, dot), below);
}

class Reader {
 public:
  explicit Reader(const std::string& path) { study_.path = path; }

  StudyText read() {
    YAML::Node root;
    try {
      root = YAML::Load(read_file(study_.path));
    } catch (const YAML::Exception& error) {
      throw Error(ErrorKind::config, fmt::format("{}:{}: expected YAML, found an error: {}", study_.path,
                                                 error.mark.line + 1, error.msg));
    } catch (const Error& error) {
      throw Error(ErrorKind::config, fmt::format("expected a study: {}", error.what()));
    }
    study_.title = fs::path(study_.path).stem();
    read_map(root, "a study",
             {{"title", [this](const YAML::Node& node) { study_.title = text_of(node, "a text"); }},
              {"base", [this](const YAML::Node& node) { study_.base = layers(node); }},
              {"axes", [this](const YAML::Node& node) { axes(node); }},
              {"exclude", [this](const YAML::Node& node) { exclude(node); }},
              {"adjust", [this](const YAML::Node& node) { adjust(node); }},
              {"run", [this](const YAML::Node& node) { study_.run = subcommand(node); }},
              {"through", [this](const YAML::Node& node) { study_.through = command(node); }},
              {"submit", [this](const YAML::Node& node) { study_.submit = command(node); }},
              {"repeats", [this](const YAML::Node& node) { study_.repeats = count(node); }},
              {"to_accuracy", [this](const YAML::Node& node) { study_.to_accuracy = share(node); }}});
    for (const auto& [key, missing] : {std::pair("axes", study_.axes.empty()), {"run", study_.run.empty()}})
      if (missing) fail(root, fmt::format("expected the key {}, found none", key));
    if (!study_.through.empty() && !study_.submit.empty())
      fail(root["submit"], "expected `through` or `submit`, found both");
    if (study_.to_accuracy && study_.run.front() != "train")
      fail(root["to_accuracy"],
           fmt::format("to_accuracy: expected run: train, which alone has a curve, found run: {}",
                       study_.run.front()));
    return std::move(study_);
  }

 private:
  using Readers = std::map<std::string, std::function<void(const YAML::Node&)>>;

  [[noreturn]] void fail(const YAML::Node& where, const std::string& message) const {
    throw Error(ErrorKind::config, fmt::format("{}:{}: {}", study_.path, where.Mark().line + 1, message));
  }

  // yaml-cpp takes a key that is there twice, and answers with the first.
  void require_once(const YAML::Node& map) const {
    std::map<std::string, int> lines;
    for (const auto& item : map)
      if (const auto [at, is_new] = lines.emplace(item.first.Scalar(), item.first.Mark().line + 1); !is_new)
        fail(item.first,
             fmt::format("{}: expected the key once, found it before at line {}", at->first, at->second));
  }

  // In the order of the table, not of the file: what refers to the axes comes after them.
  void read_map(const YAML::Node& map, const std::string& what, const Readers& readers) const {
    if (!map.IsMap()) fail(map, fmt::format("expected {}: keys with values", what));
    require_once(map);
    std::vector<std::string> known;
    for (const auto& [key, reader] : readers) known.push_back(key);
    for (const auto& item : map) {
      const std::string key = item.first.Scalar();
      if (readers.contains(key)) continue;
      const auto meant = nearest(key, known);
      fail(item.first,
           fmt::format("{}: unknown key{}; expected {}", key,
                       meant ? fmt::format(", did you mean {}?", *meant) : "", fmt::join(known, ", ")));
    }
    const auto read_key = [&](const std::string& key) {
      if (map[key]) readers.at(key)(map[key]);
    };
    if (readers.contains("axes")) read_key("axes");
    for (const std::string& key : known)
      if (key != "axes") read_key(key);
  }

  std::string text_of(const YAML::Node& node, const char* expected) const {
    if (!node.IsScalar()) fail(node, fmt::format("expected {}, found a list or a section", expected));
    return node.Scalar();
  }

  // Words, or a list of them where some have blanks inside.
  std::vector<std::string> command(const YAML::Node& node) const {
    std::vector<std::string> found;
    if (!node.IsSequence()) {
      found = words(text_of(node, "a command line"));
    } else {
      for (const YAML::Node& word : node) found.push_back(text_of(word, "a word"));
    }
    if (found.empty()) fail(node, "expected a command line, found nothing");
    return found;
  }

  std::vector<std::string> subcommand(const YAML::Node& node) const {
    std::vector<std::string> found = command(node);
    const std::vector<std::string> known{"bench", "simulate", "train"};
    if (std::ranges::find(known, found.front()) != known.end()) return found;
    const auto meant = nearest(found.front(), known);
    fail(node, fmt::format("run: expected one of {}, found {}{}", fmt::join(known, ", "), found.front(),
                           meant ? fmt::format("; did you mean {}?", *meant) : ""));
  }

  std::int64_t count(const YAML::Node& node) const {
    std::int64_t value = 0;
    if (!YAML::convert<std::int64_t>::decode(node, value) || value < 1)
      fail(node, fmt::format("expected a number of 1 or more, found {}", flow_text(node)));
    return value;
  }

  double share(const YAML::Node& node) const {
    double value = 0;
    if (!YAML::convert<double>::decode(node, value) || !(value > 0 && value <= 1))
      fail(node, fmt::format("expected an accuracy above 0, 1 at most, found {}", flow_text(node)));
    return value;
  }

  StudyLayer layer(const YAML::Node& node) const {
    if (node.IsMap()) return {.file = "", .text = flow_text(node), .line = node.Mark().line + 1};
    const std::string file = text_of(node, "a configuration file or keys with values");
    return {.file = (fs::path(study_.path).parent_path() / file).lexically_normal()};
  }

  // One, or a list of them; nothing lays nothing.
  std::vector<StudyLayer> layers(const YAML::Node& node) const {
    if (node.IsNull()) return {};
    if (!node.IsSequence()) return {layer(node)};
    std::vector<StudyLayer> all;
    for (const YAML::Node& item : node) all.push_back(layer(item));
    return all;
  }

  AxisValue key_value(const std::string& key, const YAML::Node& node) const {
    const std::string value = flow_text(node);
    return {value, {{.file = "", .text = nested(key, value), .line = node.Mark().line + 1}}};
  }

  // A key of a configuration has a list of values. A group has labels, each with what it lays, or a list of
  // files, which are labelled by their names.
  StudyAxis axis(const std::string& name, const YAML::Node& node) const {
    StudyAxis axis{.name = name, .is_key = name.find('.') != name.npos, .values = {}};
    if (axis.is_key && !node.IsSequence()) fail(node, fmt::format("{}: expected a list of values", name));
    if (!node.IsSequence() && !node.IsMap())
      fail(node, fmt::format("{}: expected a list of files, or labels with what each lays", name));
    for (const auto& item : node) {
      if (axis.is_key)
        axis.values.push_back(key_value(name, item));
      else if (node.IsMap())
        axis.values.push_back({item.first.Scalar(), layers(item.second)});
      else
        axis.values.push_back({fs::path(text_of(item, "a file")).stem(), layers(item)});
      const auto same = [&](const AxisValue& other) { return other.label == axis.values.back().label; };
      if (std::ranges::count_if(axis.values, same) > 1)
        fail(node,
             fmt::format("{}: expected every value once, found {} again", name, axis.values.back().label));
    }
    if (axis.values.empty()) fail(node, fmt::format("{}: expected one value or more, found none", name));
    return axis;
  }

  void axes(const YAML::Node& node) {
    if (!node.IsMap()) fail(node, "axes: expected axes with their values");
    require_once(node);
    for (const auto& item : node) study_.axes.push_back(axis(item.first.Scalar(), item.second));
  }

  // As its axis has it: of a group what stands between the quotes.
  static std::string label_of(const StudyAxis& axis, const YAML::Node& node) {
    return !axis.is_key && node.IsScalar() ? node.Scalar() : flow_text(node);
  }

  std::string known_label(const StudyAxis& axis, const YAML::Node& node) const {
    const std::string label = label_of(axis, node);
    std::vector<std::string> known;
    for (const AxisValue& value : axis.values) known.push_back(value.label);
    if (std::ranges::find(known, label) == known.end())
      fail(node, fmt::format("{}: expected one of {}, found {}", axis.name, fmt::join(known, ", "), label));
    return label;
  }

  CellPattern pattern(const YAML::Node& node) const {
    if (!node.IsMap() || node.size() == 0) fail(node, "expected axes, each with a value or a list of values");
    require_once(node);
    CellPattern found;
    for (const auto& item : node) {
      const auto axis = std::ranges::find(study_.axes, item.first.Scalar(), &StudyAxis::name);
      if (axis == study_.axes.end()) {
        std::vector<std::string> known;
        for (const StudyAxis& each : study_.axes) known.push_back(each.name);
        fail(item.first, fmt::format("expected one of the axes {}, found {}", fmt::join(known, ", "),
                                     item.first.Scalar()));
      }
      auto& labels = found.emplace_back(axis->name, std::vector<std::string>{}).second;
      // A list may itself be the value of a key.
      const bool is_value = std::ranges::find(axis->values, label_of(*axis, item.second),
                                              &AxisValue::label) != axis->values.end();
      if (is_value || !item.second.IsSequence()) {
        labels.push_back(known_label(*axis, item.second));
        continue;
      }
      for (const YAML::Node& label : item.second) labels.push_back(known_label(*axis, label));
    }
    return found;
  }

  void exclude(const YAML::Node& node) {
    if (!node.IsSequence()) fail(node, "exclude: expected a list of combinations");
    for (const YAML::Node& item : node) study_.exclude.push_back(pattern(item));
  }

  void adjust(const YAML::Node& node) {
    if (!node.IsSequence())
      fail(node, "adjust: expected a list of `when` with `lay`, `arguments`, `repeats`");
    for (const YAML::Node& item : node) {
      StudyAdjustment adjustment;
      read_map(item, "an adjustment",
               {{"when", [&](const YAML::Node& when) { adjustment.when = pattern(when); }},
                {"lay", [&](const YAML::Node& lay) { adjustment.layers = layers(lay); }},
                {"arguments", [&](const YAML::Node& more) { adjustment.arguments = command(more); }},
                {"repeats", [&](const YAML::Node& repeats) { adjustment.repeats = count(repeats); }}});
      if (adjustment.when.empty()) fail(item, "adjust: expected the key when, found none");
      study_.adjust.push_back(std::move(adjustment));
    }
  }

  StudyText study_;
};

}  // namespace

StudyText read_study_text(const std::string& path) {
  return Reader(path).read();
}

}  // namespace lamina
