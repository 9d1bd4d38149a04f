#include "lamina/train/summary.hpp"

#include <nlohmann/json.hpp>

#include "lamina/core/files.hpp"

namespace lamina {

using Json = nlohmann::json;

void to_json(Json& j, const Account& account) {
  j = {{"compute_s", account.compute_s},     {"wait_input_s", account.wait_input_s},
       {"wait_room_s", account.wait_room_s}, {"replicas_s", account.replicas_s},
       {"snapshot_s", account.snapshot_s},   {"checkpoint_s", account.checkpoint_s},
       {"report_s", account.report_s},       {"idle_s", account.idle_s},
       {"total_s", account.total_s},         {"unaccounted_s", account.total_s - account.accounted_s()}};
}

void from_json(const Json& j, Account& account) {
  j.at("compute_s").get_to(account.compute_s);
  j.at("wait_input_s").get_to(account.wait_input_s);
  j.at("wait_room_s").get_to(account.wait_room_s);
  j.at("replicas_s").get_to(account.replicas_s);
  j.at("snapshot_s").get_to(account.snapshot_s);
  j.at("checkpoint_s").get_to(account.checkpoint_s);
  j.at("report_s").get_to(account.report_s);
  j.at("idle_s").get_to(account.idle_s);
  j.at("total_s").get_to(account.total_s);
}

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(WorkerPlace, host, device, numa_node, processors, bound)

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(WorkerReport, worker, pid, place, stages, account, alone_s, peak_rss_mib,
                                   peak_device_mib, parameters_made)

void to_json(Json& j, const RunSummary& summary) {
  j = {{"complete", summary.complete},
       {"step", summary.step},
       {"test_accuracy", summary.test_accuracy >= 0 ? Json(summary.test_accuracy) : Json()},
       {"test_loss", summary.test_accuracy >= 0 ? Json(summary.test_loss) : Json()},
       {"images_per_s", summary.images_per_s},
       {"pipeline_efficiency", summary.pipeline_efficiency},
       {"seconds", summary.seconds},
       {"stage_seconds", summary.stage_seconds},
       {"params_sha256", summary.params_sha256},
       {"workers", summary.workers}};
  for (const WorkerReport& worker : summary.workers) j["peak_rss_mib"].push_back(worker.peak_rss_mib);
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
