#include "lamina/train/summary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "lamina/core/files.hpp"

namespace lamina {

using Json = nlohmann::json;

void to_json(Json& j, const Account& account) {
  for (std::size_t i = 0; i < activity_names.size(); ++i)
    j[fmt::format("{}_s", activity_names[i].key)] = account.seconds[i];
  j["total_s"] = account.total_s;
  j["unaccounted_s"] = account.unaccounted_s();
}

void from_json(const Json& j, Account& account) {
  for (std::size_t i = 0; i < activity_names.size(); ++i)
    j.at(fmt::format("{}_s", activity_names[i].key)).get_to(account.seconds[i]);
  j.at("total_s").get_to(account.total_s);
}

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(CheckpointCost, written, waits, wait_s, write_s, mirror_failures)

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(WorkerPlace, host, device, numa_node, processors, bound)

NLOHMANN_JSON_SERIALIZE_ENUM(StopReason, {{StopReason::none, nullptr},
                                          {StopReason::signal, "signal"},
                                          {StopReason::stop_before, "stop_before"},
                                          {StopReason::stop_file, "stop_file"},
                                          {StopReason::early_stop, "early_stop"}})

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(WorkerReport, worker, pid, place, stages, account, alone_s, peak_rss_mib,
                                   peak_device_mib, parameters_made, broken_images, checkpoints, stopped_by)

void to_json(Json& j, const RunSummary& summary) {
  j = {{"complete", summary.complete},
       {"stopped_by", summary.stopped_by},
       {"step", summary.step},
       {"test_accuracy", summary.test_accuracy >= 0 ? Json(summary.test_accuracy) : Json()},
       {"test_loss", summary.test_accuracy >= 0 ? Json(summary.test_loss) : Json()},
       {"images_per_s", summary.images_per_s},
       {"pipeline_efficiency", summary.pipeline_efficiency},
       {"seconds", summary.seconds},
       {"stage_seconds", summary.stage_seconds},
       {"params_sha256", summary.params_sha256},
       {"rollbacks", summary.rollbacks},
       {"workers", summary.workers}};
  std::int64_t broken_images = 0;
  for (const WorkerReport& worker : summary.workers) {
    j["peak_rss_mib"].push_back(worker.peak_rss_mib);
    broken_images += worker.broken_images;
  }
  j["broken_images"] = broken_images;
}

double slowest_worker_s(const RunSummary& summary) {
  double slowest_s = 0;
  if (summary.stage_seconds.empty()) return slowest_s;
  for (const WorkerReport& worker : summary.workers) {
    double seconds = 0;
    for (const int stage : worker.stages) seconds += summary.stage_seconds[static_cast<std::size_t>(stage)];
    slowest_s = std::max(slowest_s, seconds);
  }
  return slowest_s;
}

void write_summary(const std::filesystem::path& path, const RunSummary& summary) {
  write_file_atomically(path, Json(summary).dump(2) + "\n");
}

std::string to_text(const WorkerPlace& place) {
  return Json(place).dump();
}

WorkerPlace worker_place(const std::string& text) {
  return Json::parse(text).get<WorkerPlace>();
}

std::string to_text(const WorkerReport& report) {
  return Json(report).dump();
}

WorkerReport worker_report(const std::string& text) {
  return Json::parse(text).get<WorkerReport>();
}

}  // namespace lamina
