#include "lamina/train/trace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

namespace lamina {

using Json = nlohmann::json;

namespace {

std::int64_t nanoseconds(Clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

Clock::time_point time_of(std::int64_t ns) {
  return Clock::time_point(std::chrono::duration_cast<Clock::duration>(std::chrono::nanoseconds(ns)));
}

}  // namespace

// An array instead of names: there may be tens of thousands.
void to_json(Json& j, const Span& span) {
  j = {nanoseconds(span.start),
       nanoseconds(span.end),
       span.step,
       span.message,
       span.bytes,
       span.age_steps,
       span.stage,
       span.lane,
       span.micro,
       static_cast<int>(span.op),
       static_cast<int>(span.activity),
       span.on_device};
}

void from_json(const Json& j, Span& span) {
  span = {.start = time_of(j.at(0)),
          .end = time_of(j.at(1)),
          .step = j.at(2),
          .message = j.at(3),
          .bytes = j.at(4),
          .age_steps = j.at(5),
          .stage = j.at(6),
          .lane = j.at(7),
          .micro = j.at(8),
          .op = static_cast<Op>(j.at(9).get<int>()),
          .activity = static_cast<Activity>(j.at(10).get<int>()),
          .on_device = j.at(11)};
}

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(WorkerTrace, worker, host, pid, clock_offset_s, clock_error_s,
                                   num_overwritten, spans)

std::string to_text(const WorkerTrace& trace) {
  return Json(trace).dump();
}

WorkerTrace worker_trace(const std::string& text) {
  return Json::parse(text).get<WorkerTrace>();
}

namespace {

bool is_message(const Span& span) {
  return span.message >= 0;
}

// Collects Chrome's events, in microseconds from the earliest span on.
class ChromeTrace {
 public:
  ChromeTrace(const Schedule& schedule, const std::vector<WorkerTrace>& traces)
      : schedule_(schedule), traces_(traces), origin_us_(earliest_us()) {}

  Json events() {
    for (const WorkerTrace& trace : traces_) {
      name_track(trace);
      for (const Span& span : trace.spans) {
        add_span(trace, span);
        if (is_message(span)) add_flow(trace, span);
        if (span.age_steps >= 0) add_age(trace, span);
      }
    }
    add_lane_counters();
    return std::move(events_);
  }

 private:
  struct Change {
    double at_us;
    bool sent;
    std::int64_t message;
  };

  static double microseconds(const WorkerTrace& trace, Clock::time_point time) {
    return 1e-3 * static_cast<double>(nanoseconds(time)) + 1e6 * trace.clock_offset_s;
  }

  double earliest_us() const {
    double earliest = 0;
    bool any = false;
    for (const WorkerTrace& trace : traces_)
      for (const Span& span : trace.spans) {
        const double start = microseconds(trace, span.start);
        earliest = any ? std::min(earliest, start) : start;
        any = true;
      }
    return earliest;
  }

  double at(const WorkerTrace& trace, Clock::time_point time) const {
    return microseconds(trace, time) - origin_us_;
  }

  // A flow's ends belong to the spans that they lie in: it begins where the sender began, and ends just
  // before the receiver had it.
  double flow_end(const WorkerTrace& trace, const Span& span) const {
    const double start = at(trace, span.start), end = at(trace, span.end);
    return span.op == Op::send ? start : std::max(start, end - 0.5);
  }

  void name_track(const WorkerTrace& trace) {
    std::string name = fmt::format("worker {} ({}, pid {})", trace.worker, trace.host, trace.pid);
    if (trace.num_overwritten > 0)
      name += fmt::format(", the first {} of {} spans are missing", trace.num_overwritten,
                          trace.num_overwritten + static_cast<std::int64_t>(trace.spans.size()));
    events_.push_back(
        {{"ph", "M"}, {"name", "process_name"}, {"pid", trace.worker}, {"args", {{"name", name}}}});
    events_.push_back({{"ph", "M"},
                       {"name", "process_sort_index"},
                       {"pid", trace.worker},
                       {"args", {{"sort_index", trace.worker}}}});
    if (std::none_of(trace.spans.begin(), trace.spans.end(), [](const Span& span) { return span.on_device; }))
      return;
    for (const auto& [thread, of] : {std::pair(0, "host"), std::pair(1, "device")})
      events_.push_back({{"ph", "M"},
                         {"name", "thread_name"},
                         {"pid", trace.worker},
                         {"tid", thread},
                         {"args", {{"name", fmt::format("worker {} {}", trace.worker, of)}}}});
  }

  std::string title(const Span& span) const {
    const auto& activity = activity_names[static_cast<std::size_t>(span.activity)];
    if (span.activity != Activity::compute) return activity.title;
    std::string text = fmt::format("{} s{}", name_of(span.op), span.stage);
    if (schedule_.micro_batches > 1 && (span.op == Op::forward || span.op == Op::backward))
      text += fmt::format(" m{}", span.micro);
    return text;
  }

  void add_span(const WorkerTrace& trace, const Span& span) {
    Json args = {{"step", span.step}, {"action", name_of(span.op)}, {"stage", span.stage}};
    if (schedule_.micro_batches > 1) args["micro"] = span.micro;
    if (is_message(span)) {
      args["lane"] = span.lane;
      args["message"] = span.message;
      args["bytes"] = span.bytes;
    }
    events_.push_back({{"ph", "X"},
                       {"name", title(span)},
                       {"cat", activity_names[static_cast<std::size_t>(span.activity)].key},
                       {"pid", trace.worker},
                       {"tid", span.on_device ? 1 : 0},
                       {"ts", at(trace, span.start)},
                       {"dur", at(trace, span.end) - at(trace, span.start)},
                       {"args", std::move(args)}});
  }

  void add_flow(const WorkerTrace& trace, const Span& span) {
    const bool sent = span.op == Op::send;
    Json event = {{"ph", sent ? "s" : "f"},
                  {"id", fmt::format("{}.{}", span.lane, span.message)},
                  {"name", schedule_.lanes.at(static_cast<std::size_t>(span.lane)).gradient ? "gradient"
                                                                                            : "activation"},
                  {"cat", "lane"},
                  {"pid", trace.worker},
                  {"tid", 0},
                  {"ts", flow_end(trace, span)}};
    if (!sent) event["bp"] = "e";
    events_.push_back(std::move(event));
    changes_[span.lane].push_back({at(trace, span.end), sent, span.message});
  }

  void add_age(const WorkerTrace& trace, const Span& span) {
    add_counter(trace.worker, fmt::format("snapshot age of stage {}", span.stage), "steps",
                at(trace, span.start), span.age_steps);
  }

  void add_counter(int worker, const std::string& name, const char* unit, double at_us, std::int64_t value) {
    events_.push_back(
        {{"ph", "C"}, {"name", name}, {"pid", worker}, {"ts", at_us}, {"args", {{unit, value}}}});
  }

  // Messages that were sent and not yet received. By their numbers, so that it is right where the beginning
  // is missing.
  void add_lane_counters() {
    for (auto& [lane, changes] : changes_) {
      std::stable_sort(changes.begin(), changes.end(),
                       [](const Change& a, const Change& b) { return a.at_us < b.at_us; });
      const ScheduleLane& route = schedule_.lanes[static_cast<std::size_t>(lane)];
      const std::string name = fmt::format("lane {}: {} to {}", lane, route.from, route.to);
      std::int64_t sent = changes.front().message, received = sent;
      for (const Change& change : changes) {
        (change.sent ? sent : received) = change.message + 1;
        add_counter(route.from, name, "messages", change.at_us, std::max<std::int64_t>(0, sent - received));
      }
    }
  }

  const Schedule& schedule_;
  const std::vector<WorkerTrace>& traces_;
  double origin_us_;
  Json events_ = Json::array();
  std::map<int, std::vector<Change>> changes_;  // by lane
};

}  // namespace

std::string chrome_trace(const Schedule& schedule, const std::vector<WorkerTrace>& traces) {
  Json json = {{"displayTimeUnit", "ms"}, {"traceEvents", ChromeTrace(schedule, traces).events()}};
  for (const WorkerTrace& trace : traces)
    json["otherData"][fmt::format("worker {}", trace.worker)] = {{"clock_offset_s", trace.clock_offset_s},
                                                                 {"clock_error_s", trace.clock_error_s}};
  return json.dump() + "\n";
}

}  // namespace lamina
