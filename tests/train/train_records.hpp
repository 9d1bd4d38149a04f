#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lamina {

/// The training steps' lines of a run's metrics.jsonl.
inline std::vector<nlohmann::json> train_records(const std::filesystem::path& run) {
  std::vector<nlohmann::json> records;
  std::ifstream lines(run / "metrics.jsonl");
  for (std::string line; std::getline(lines, line);)
    if (auto record = nlohmann::json::parse(line); record.at("kind") == "train")
      records.push_back(std::move(record));
  return records;
}

}  // namespace lamina
