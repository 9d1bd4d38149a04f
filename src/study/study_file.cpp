#include "lamina/study/study_file.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "lamina/core/digest.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "lamina/train/run_config.hpp"
#include "study/study_text.hpp"

namespace lamina {
namespace {

using Place = std::vector<std::pair<std::string, std::string>>;

bool matches(const CellPattern& pattern, const Place& place) {
  return std::ranges::all_of(pattern, [&](const auto& wanted) {
    const auto at = std::ranges::find(place, wanted.first, &Place::value_type::first);
    return std::ranges::find(wanted.second, at->second) != wanted.second.end();
  });
}

// What a file system, a shell and a scheduler take without ado.
std::string plain(std::string text) {
  constexpr std::string_view more = "._+=-";
  std::erase(text, ' ');
  for (char& c : text)
    if (!std::isalnum(static_cast<unsigned char>(c)) && more.find(c) == more.npos) c = '-';
  return text;
}

// "dgl", or "workers=2" of a key and of what says nothing by itself.
std::string name_of(const StudyAxis& axis, const AxisValue& value) {
  const bool is_number = value.label.find_first_not_of("0123456789.") == value.label.npos;
  if (!axis.is_key && !is_number) return plain(value.label);
  return fmt::format("{}={}", axis.name.substr(axis.name.rfind('.') + 1), plain(value.label));
}

// Neighbouring files are laid at once, so that what several include is laid once, below all of them.
ConfigText laid(const std::vector<StudyLayer>& layers, const std::string& study) {
  ConfigText all = ConfigText::from_text("", study);
  for (auto layer = layers.begin(); layer != layers.end();) {
    std::vector<std::string> files;
    for (; layer != layers.end() && !layer->file.empty(); ++layer) files.push_back(layer->file);
    if (!files.empty()) all.lay(ConfigText::from_files(files));
    if (layer == layers.end()) break;
    // Messages name the study's own line.
    all.lay(ConfigText::from_text(std::string(static_cast<std::size_t>(layer->line - 1), '\n') + layer->text,
                                  study));
    ++layer;
  }
  return all;
}

constexpr const char* place_of_the_data = "data.root";

// Of the files that are named in a command line, such as the profile of a simulation.
std::string digests_of_files(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words)
    if (std::error_code unknown; std::filesystem::is_regular_file(word, unknown))
      text += fmt::format("{}: {}\n", word, sha256_hex(read_file(word)));
  return text;
}

// What a later version of Lamina adds, with a default that changes nothing, leaves the digest as it is; so
// does another place for the data.
std::string digest_of(const std::vector<EffectiveField>& fields, const StudyCell& cell, const Study& study) {
  std::map<std::string, std::string> defaults;
  for (const EffectiveField& field : list_fields(RunConfig{})) defaults[field.key] = field.value;
  std::string text = fmt::format("run {}\nthrough {}\nsubmit {}\n", fmt::join(cell.run, "\n  "),
                                 fmt::join(study.through, "\n  "), fmt::join(study.submit, "\n  "));
  text += digests_of_files({cell.run.begin() + 1, cell.run.end()});
  for (const EffectiveField& field : fields) {
    const auto known = defaults.find(field.key);
    const bool is_default = known != defaults.end() && known->second == field.value;
    if (!is_default && field.key != place_of_the_data)
      text += fmt::format("{}: {}\n", field.key, field.value);
  }
  return sha256_hex(text);
}

void resolve(StudyCell& cell, const std::vector<StudyLayer>& layers, const StudyText& text,
             const std::vector<std::string>& sets, const Study& study) {
  try {
    ConfigText configuration = laid(layers, text.path);
    for (const std::string& assignment : sets) configuration.set(assignment);
    RunConfig config = read_run_config(configuration);
    config.out = RunConfig{}.out;  // every run has a folder of its own
    const std::vector<EffectiveField> fields = list_fields(config);
    for (const EffectiveField& field : fields) cell.config.emplace_back(field.key, field.value);
    cell.yaml = to_yaml(fields);
    cell.seed = config.train.seed;
    cell.digest = digest_of(fields, cell, study);
  } catch (const Error& error) {
    cell.error = on_one_line(error.what());
  }
}

// One value an axis.
using Choice = std::vector<const AxisValue*>;

std::vector<Choice> combinations(const std::vector<StudyAxis>& axes) {
  std::vector<Choice> all{{}};
  for (const StudyAxis& axis : axes) {
    std::vector<Choice> longer;
    for (const Choice& choice : all)
      for (const AxisValue& value : axis.values) {
        longer.push_back(choice);
        longer.back().push_back(&value);
      }
    all = std::move(longer);
  }
  return all;
}

// No cell where it is excluded.
std::optional<StudyCell> cell_of(const Choice& choice, const StudyText& text,
                                 const std::vector<std::string>& sets, const Study& study) {
  StudyCell cell;
  cell.run = text.run;
  cell.repeats = text.repeats;
  std::vector<StudyLayer> layers = text.base;
  const auto lay = [&](const std::vector<StudyLayer>& more) {
    layers.insert(layers.end(), more.begin(), more.end());
  };
  for (std::size_t i = 0; i < choice.size(); ++i) {
    cell.place.emplace_back(text.axes[i].name, choice[i]->label);
    cell.name += (i > 0 ? "," : "") + name_of(text.axes[i], *choice[i]);
    lay(choice[i]->layers);
  }
  const auto is_here = [&](const CellPattern& pattern) { return matches(pattern, cell.place); };
  if (std::ranges::any_of(text.exclude, is_here)) return std::nullopt;
  for (const StudyAdjustment& adjustment : text.adjust) {
    if (!is_here(adjustment.when)) continue;
    lay(adjustment.layers);
    cell.run.insert(cell.run.end(), adjustment.arguments.begin(), adjustment.arguments.end());
    cell.repeats = adjustment.repeats.value_or(cell.repeats);
  }
  resolve(cell, layers, text, sets, study);
  return cell;
}

}  // namespace

Study read_study(const std::string& path, const std::vector<std::string>& sets) {
  const StudyText text = read_study_text(path);
  Study study{.name = std::filesystem::path(path).stem(),
              .title = text.title,
              .axes = {},
              .cells = {},
              .command = text.run.front(),
              .through = text.through,
              .submit = text.submit,
              .to_accuracy = text.to_accuracy};
  for (const StudyAxis& axis : text.axes) study.axes.push_back(axis.name);
  for (const Choice& choice : combinations(text.axes)) {
    std::optional<StudyCell> cell = cell_of(choice, text, sets, study);
    if (!cell) continue;
    const auto same = std::ranges::find(study.cells, cell->name, &StudyCell::name);
    if (same != study.cells.end())
      throw Error(ErrorKind::config, fmt::format("{}: expected cells of different names, found {} twice; "
                                                 "labels differ in letters, digits and ._+=- only",
                                                 path, cell->name));
    if (cell->repeats > 1 && study.trains() && std::ranges::count(study.axes, "train.seed") > 0)
      throw Error(ErrorKind::config,
                  fmt::format("{}: expected repeats: 1 with train.seed as an axis, as each "
                              "further repeat counts on from it, found {} of {}",
                              path, cell->repeats, cell->name));
    study.cells.push_back(std::move(*cell));
  }
  if (study.cells.empty())
    throw Error(ErrorKind::config, fmt::format("{}: expected a cell or more, found all excluded", path));
  return study;
}

}  // namespace lamina
