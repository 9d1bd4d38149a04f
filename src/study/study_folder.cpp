#include "study/study_folder.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "study/study_rows.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::size_t shown_digits = 8;  // of a digest

// Nothing if there is no such file, or if it is not whole.
std::optional<Json> read_object(const fs::path& path) {
  if (!fs::exists(path)) return std::nullopt;
  Json json = Json::parse(read_file(path), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  return json;
}

// Of what the cell was when its folder was made; nothing if there is none.
std::optional<std::string> digest_in(const fs::path& folder) {
  const auto definition = read_object(folder / "cell.json");
  if (!definition) return std::nullopt;
  return definition->value("digest", "");
}

Json as_object(const std::vector<std::pair<std::string, std::string>>& pairs) {
  Json object = Json::object();
  for (const auto& [key, value] : pairs) object[key] = value;
  return object;
}

}  // namespace

fs::path StudyFolder::named(const StudyCell& cell, std::int64_t repeat, const char* ending) const {
  return out_ / cell.name / fmt::format("repeat-{}{}", repeat, ending);
}

bool StudyFolder::is_outdated(const StudyCell& cell) const {
  if (!cell.error.empty()) return false;
  return digest_in(out_ / cell.name).value_or(cell.digest) != cell.digest;
}

std::string StudyFolder::put_aside(const StudyCell& cell, const std::string& digest, int copy) const {
  const std::string name = fmt::format("{}.was-{}", cell.name, digest.substr(0, shown_digits));
  return copy == 1 ? name : fmt::format("{}-{}", name, copy);
}

StudyFolder::Prepared StudyFolder::prepare(const StudyCell& cell) {
  const fs::path folder = out_ / cell.name;
  Prepared prepared;
  if (is_outdated(cell)) {
    const std::string digest = digest_in(folder).value();
    int copy = 1;
    while (fs::exists(out_ / put_aside(cell, digest, copy))) ++copy;
    prepared.put_aside = put_aside(cell, digest, copy);
    rename_durably(folder, out_ / prepared.put_aside);
  }
  if (const std::string name = put_aside(cell, cell.digest, 1);
      !fs::exists(folder) && digest_in(out_ / name) == cell.digest) {
    prepared.is_back = name;
    rename_durably(out_ / name, folder);
  }
  make_directory(folder);
  write_file_atomically(config(cell), cell.yaml);
  const Json definition = {{"cell", cell.name}, {"digest", cell.digest}, {"run", cell.run}};
  write_file_atomically(folder / "cell.json", definition.dump(2) + "\n");
  return prepared;
}

std::optional<Json> StudyFolder::row(const StudyCell& cell, std::int64_t repeat) const {
  return read_object(named(cell, repeat, ".json"));
}

void StudyFolder::keep_row(const StudyCell& cell, std::int64_t repeat, const Json& row) {
  write_file_atomically(named(cell, repeat, ".json"), row.dump(2) + "\n");
  fs::remove(named(cell, repeat, ".job"));
}

std::optional<Json> StudyFolder::job(const StudyCell& cell, std::int64_t repeat) const {
  return read_object(named(cell, repeat, ".job"));
}

void StudyFolder::keep_job(const StudyCell& cell, std::int64_t repeat, const Json& job) {
  write_file_atomically(named(cell, repeat, ".job"), job.dump() + "\n");
}

bool StudyFolder::has_ended(const StudyCell& cell, std::int64_t repeat) const {
  const auto summary = read_object(run(cell, repeat) / "summary.json");
  if (!summary) return false;
  // A training run that stopped early has nothing left to do, either.
  const auto stopped_by = summary->find("stopped_by");
  return summary->value("complete", true) || (stopped_by != summary->end() && *stopped_by == "early_stop");
}

void StudyFolder::write_study() {
  Json json = {{"name", study_.name},
               {"title", study_.title},
               {"axes", study_.axes},
               {"command", study_.command},
               {"to_accuracy", study_.to_accuracy ? Json(*study_.to_accuracy) : Json()}};
  for (const StudyCell& cell : study_.cells)
    json["cells"].push_back(
        {{"name", cell.name}, {"axes", as_object(cell.place)}, {"run", cell.run}, {"repeats", cell.repeats}});
  make_directory(out_);
  write_file_atomically(out_ / "study.json", json.dump(2) + "\n");
}

std::vector<Json> StudyFolder::rows() const {
  std::vector<Json> all;
  const auto add = [&](const StudyCell& cell, std::int64_t repeat, Json found) {
    Json configuration = as_object(cell.config);
    if (study_.trains() && cell.error.empty())
      configuration["train.seed"] = fmt::format("{}", cell.seed_of(repeat));
    found.update({{"study", study_.name},
                  {"cell", cell.name},
                  {"axes", as_object(cell.place)},
                  {"repeat", repeat},
                  {"config", std::move(configuration)},
                  {"digest", cell.digest}});
    judge(found, study_.to_accuracy);
    all.push_back(std::move(found));
  };
  for (const StudyCell& cell : study_.cells) {
    if (!cell.error.empty()) {
      add(cell, 0,
          {{"state", "failed"}, {"error", cell.error}, {"exit_code", static_cast<int>(ErrorKind::config)}});
    } else if (!is_outdated(cell)) {
      for (std::int64_t repeat = 0; repeat < cell.repeats; ++repeat)
        if (auto found = row(cell, repeat)) add(cell, repeat, std::move(*found));
    }
  }
  return all;
}

void StudyFolder::write_results() {
  const std::vector<Json> all = rows();
  write_file_atomically(out_ / "results.jsonl", to_jsonl(all));
  write_file_atomically(out_ / "results.csv", to_csv(all, study_));
}

}  // namespace lamina
