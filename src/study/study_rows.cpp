#include "study/study_rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <string_view>

#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "lamina/study/spread.hpp"

namespace lamina {
namespace {

using Json = nlohmann::json;

// A run that trained accounts in seconds ("wait_input_s"); a benchmark in shares, by the same words.
Json shares_of(const Json& account) {
  Json shares = Json::object();
  const double total_s = account.at("total_s");
  for (const auto& [key, seconds] : account.items()) {
    if (key == "total_s") continue;
    std::string name = key.substr(0, key.size() - 2);
    std::ranges::replace(name, '_', ' ');
    shares[name] = total_s > 0 ? seconds.get<double>() / total_s : 0.0;
  }
  return shares;
}

Json worker_of(const Json& worker) {
  Json found = {{"share_of_time",
                 worker.contains("account") ? shares_of(worker.at("account")) : worker.at("share_of_time")}};
  for (const char* key : {"host", "stages", "peak_rss_mib", "peak_device_mib"})
    if (worker.contains(key)) found[key] = worker.at(key);
  return found;
}

// Not what is no number, for which JSON has null, nor the rate of a run that was too short to have one.
bool is_measured(std::string_view key, const Json& value) {
  const bool is_rate = key == "images_per_s" || key == "pipeline_efficiency";
  return !value.is_null() && !(is_rate && value == 0);
}

// Every evaluation as [step, seconds since the run's beginning, accuracy]. A step's time includes an
// evaluation before it; the pauses of a run that was stopped and went on are left out.
Json curve_of(const std::filesystem::path& metrics) {
  Json curve = Json::array();
  std::istringstream lines(read_file(metrics));
  double seconds = 0;
  for (std::string line; std::getline(lines, line);) {
    const Json record = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (record.is_discarded()) continue;
    if (record.at("kind") == "train") seconds += record.at("step_s").get<double>();
    if (record.at("kind") == "eval")
      curve.push_back({record.at("step"), seconds, record.at("test_accuracy")});
  }
  return curve;
}

Json seconds_to(double accuracy, const Json& curve) {
  for (const Json& point : curve)
    if (point.at(2).get<double>() >= accuracy) return point.at(1);
  return nullptr;
}

const Json* find(const Json& row, const std::string& key) {
  const auto found = row.find(key);
  return found == row.end() || found->is_null() ? nullptr : &*found;
}

std::string csv_field(const Json& row, const std::string& key) {
  const Json* value = find(row, key);
  if (!value) return "";
  std::string text = value->is_string() ? value->get<std::string>() : value->dump();
  for (std::size_t end = text.find('\n'); end != text.npos; end = text.find('\n')) text.replace(end, 1, "; ");
  if (text.find_first_of(",\"") == text.npos) return text;
  for (std::size_t at = 0; (at = text.find('"', at)) != text.npos; at += 2) text.insert(at, 1, '"');
  return fmt::format("\"{}\"", text);
}

std::string spread_text(const std::vector<Json>& rows, const char* key, double scale, int digits) {
  std::vector<double> values;
  for (const Json& row : rows)
    if (const Json* value = find(row, key)) values.push_back(scale * value->get<double>());
  if (values.empty()) return "";
  const Spread s = spread(values);
  if (values.size() == 1) return fmt::format("{:.{}f}", s.median, digits);
  return fmt::format("{:.{}f} ({:.{}f} to {:.{}f})", s.median, digits, s.lowest, digits, s.highest, digits);
}

struct TableColumn {
  const char* title;
  const char* key;
  double scale;
  int digits;
};
constexpr std::array<TableColumn, 5> table_columns{{{"images/s", "images_per_s", 1, 1},
                                                    {"pipeline efficiency", "pipeline_efficiency", 1, 3},
                                                    {"peak, MiB", "peak_rss_mib", 1, 0},
                                                    {"accuracy, %", "test_accuracy", 100, 2},
                                                    {"s to accuracy", "seconds_to_accuracy", 1, 0}}};

}  // namespace

Json measured(const std::filesystem::path& run) {
  try {
    const Json summary = Json::parse(read_file(run / "summary.json"));
    Json row;
    for (const char* key : {"images_per_s", "pipeline_efficiency", "stage_seconds", "test_accuracy",
                            "test_loss", "step", "params_sha256", "memory"})
      if (summary.contains(key) && is_measured(key, summary.at(key))) row[key] = summary.at(key);
    row["workers"] = Json::array();
    double peak_mib = 0;  // a simulation has none
    for (const Json& worker : summary.at("workers")) {
      row["workers"].push_back(worker_of(worker));
      peak_mib = std::max(peak_mib, worker.value("peak_rss_mib", 0.0));
    }
    row["num_workers"] = row["workers"].size();
    if (peak_mib > 0) row["peak_rss_mib"] = peak_mib;
    return row;
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::data, fmt::format("{}: expected a summary of a run, found: {}",
                                             (run / "summary.json").string(), error.what()));
  }
}

Json learned(const std::filesystem::path& run) {
  const std::filesystem::path metrics = run / "metrics.jsonl";
  try {
    return {{"curve", curve_of(metrics)}};
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::data, fmt::format("{}: expected the records of a training run, found: {}",
                                             metrics.string(), error.what()));
  }
}

void judge(Json& row, std::optional<double> accuracy) {
  row.erase("seconds_to_accuracy");
  if (accuracy && row.contains("curve")) row["seconds_to_accuracy"] = seconds_to(*accuracy, row["curve"]);
}

std::string to_jsonl(const std::vector<Json>& rows) {
  std::string text;
  for (const Json& row : rows) text += row.dump() + "\n";
  return text;
}

std::string to_csv(const std::vector<Json>& rows, const Study& study) {
  std::vector<std::string> keys{"study", "cell"};
  keys.insert(keys.end(), study.axes.begin(), study.axes.end());
  for (const char* key : {"repeat", "state", "error", "images_per_s", "pipeline_efficiency", "num_workers",
                          "peak_rss_mib", "test_accuracy", "test_loss", "step", "seconds_to_accuracy",
                          "seconds", "began", "host", "processor", "processors", "git", "versions"})
    keys.emplace_back(key);
  std::string text;
  for (std::size_t i = 0; i < keys.size(); ++i)
    text += (i > 0 ? "," : "") + csv_field({{"key", keys[i]}}, "key");
  text += '\n';
  for (const Json& row : rows) {
    Json flat = row;
    for (const char* nested : {"axes", "machine"})
      if (row.contains(nested)) flat.update(row.at(nested));
    for (std::size_t i = 0; i < keys.size(); ++i) text += (i > 0 ? "," : "") + csv_field(flat, keys[i]);
    text += '\n';
  }
  return text;
}

std::string to_markdown(const std::vector<Json>& rows, const Study& study) {
  std::vector<Json> done;
  std::ranges::copy_if(rows, std::back_inserter(done),
                       [](const Json& row) { return row.at("state") == "done"; });
  std::vector<TableColumn> columns;
  std::ranges::copy_if(table_columns, std::back_inserter(columns), [&](const TableColumn& column) {
    return std::ranges::any_of(done, [&](const Json& row) { return find(row, column.key) != nullptr; });
  });
  std::string text = "| cell | runs |", rule = "|---|---|";
  for (const TableColumn& column : columns) {
    text += fmt::format(" {} |", column.title);
    rule += "---|";
  }
  text += "\n" + rule + "\n";
  for (const StudyCell& cell : study.cells) {
    std::vector<Json> of_cell;
    std::ranges::copy_if(done, std::back_inserter(of_cell),
                         [&](const Json& row) { return row.at("cell") == cell.name; });
    if (of_cell.empty()) continue;
    text += fmt::format("| {} | {} |", cell.name, of_cell.size());
    for (const TableColumn& column : columns)
      text += fmt::format(" {} |", spread_text(of_cell, column.key, column.scale, column.digits));
    text += '\n';
  }
  return text;
}

}  // namespace lamina
