#include "trace_file.hpp"

#include <fmt/format.h>

#include "clock_alignment.hpp"
#include "lamina/core/files.hpp"
#include "lamina/core/log.hpp"
#include "lamina/core/process.hpp"
#include "lamina/train/trace.hpp"

namespace lamina {

void prepare_trace(const std::string& path) {
  if (const auto folder = std::filesystem::path(path).parent_path(); !folder.empty()) make_directory(folder);
  write_file_atomically(path, "[]\n");
}

void write_trace(const RunPlan& plan, Transport& transport, const Timeline& timeline, const std::string& path,
                 Seconds limit) {
  const ClockOffset offset = align_clocks(transport, limit);
  const WorkerTrace mine{.worker = transport.worker(),
                         .host = host_name(),
                         .pid = process_id(),
                         .clock_offset_s = offset.offset_s,
                         .clock_error_s = offset.error_s,
                         .num_overwritten = timeline.num_overwritten(),
                         .spans = timeline.spans()};
  const std::vector<std::string> texts = transport.all_gather(to_text(mine), limit);
  if (transport.worker() != plan.sink()) return;
  std::vector<WorkerTrace> traces;
  for (const std::string& text : texts) {
    traces.push_back(worker_trace(text));
    const WorkerTrace& trace = traces.back();
    if (trace.num_overwritten > 0)
      log_warning(fmt::format("{}: the first {} of {} spans of worker {} are missing, there was room for {}",
                              path, trace.num_overwritten, trace.num_overwritten + std::ssize(trace.spans),
                              trace.worker, trace.spans.size()));
  }
  write_file_atomically(path, chrome_trace(plan.schedule, traces));
}

}  // namespace lamina
