#include "early_stop.hpp"

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace lamina {

using Json = nlohmann::json;

void EarlyStop::read(const std::filesystem::path& metrics, std::int64_t start_step) {
  const auto number = [](const Json& record, const char* key) {
    return record.at(key).is_number() ? record.at(key).get<double>()
                                      : std::numeric_limits<double>::quiet_NaN();
  };
  std::ifstream in(metrics);
  for (std::string line; std::getline(in, line);) {
    const Json record = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (record.is_discarded() || record.at("kind") != "eval") continue;
    // The evaluation behind the one that was the last straw is where a run is stopped.
    over_ = is_exhausted() && record.at("step") == start_step;
    add(number(record, "test_accuracy"), number(record, "test_loss"));
  }
}

void EarlyStop::add(double accuracy, double loss) {
  const double value = config_.metric == "loss" ? -loss : accuracy;
  num_stale_ = value > best_ ? 0 : num_stale_ + 1;
  if (value > best_) best_ = value;
}

}  // namespace lamina
