#include "worker_reports.hpp"

#include <utility>

#include "lamina/comm/device.hpp"
#include "lamina/core/process.hpp"
#include "lamina/nn/initializer.hpp"
#include "lamina/train/summary.hpp"

namespace lamina {

WorkerReport report_of(Worker& worker, at::Device device, int number) {
  WorkerReport report{.worker = number,
                      .pid = process_id(),
                      .place = {},
                      .stages = {},
                      .account = worker.account(),
                      .alone_s = {},
                      .peak_rss_mib = peak_resident_mib(),
                      .peak_device_mib = peak_device_mib(device),
                      .parameters_made = num_parameters_made()};
  for (const Stage& stage : worker.stages()) report.stages.push_back(stage.index());
  return report;
}

std::vector<WorkerReport> gather(const WorkerReport& own, Transport& transport, Seconds limit) {
  std::vector<WorkerReport> reports;
  for (const std::string& text : transport.all_gather(to_text(own), limit))
    reports.push_back(worker_report(text));
  return reports;
}

RunSummary summary_of(const Packet& stop_mark, const Reporter& reporter, std::vector<WorkerReport> reports) {
  RunSummary summary{.complete = stop_mark.step == stop_mark.total_steps && stop_mark.evaluated,
                     .step = stop_mark.step,
                     .test_accuracy = reporter.test_accuracy(),
                     .test_loss = reporter.test_loss(),
                     .images_per_s = reporter.images_per_s(),
                     .stage_seconds = reporter.stage_seconds(),
                     .params_sha256 = {},
                     .workers = std::move(reports)};
  for (const WorkerReport& worker : summary.workers)
    if (!summary.complete && summary.stopped_by == StopReason::none) summary.stopped_by = worker.stopped_by;
  summary.seconds = summary.workers.back().account.total_s;
  if (reporter.seconds_per_step() > 0)
    summary.pipeline_efficiency = slowest_worker_s(summary) / reporter.seconds_per_step();
  return summary;
}

}  // namespace lamina
