#include "lamina/train/trace.hpp"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace lamina {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;

Clock::time_point at_ms(std::int64_t ms) {
  return Clock::time_point(std::chrono::milliseconds(ms));
}

Span compute(std::int64_t step, std::int64_t start_ms, std::int64_t end_ms, int stage) {
  return {.start = at_ms(start_ms), .end = at_ms(end_ms), .step = step, .stage = stage};
}

Span message(Op op, std::int64_t n, std::int64_t start_ms, std::int64_t end_ms) {
  return {.start = at_ms(start_ms),
          .end = at_ms(end_ms),
          .step = n,
          .message = n,
          .bytes = 4096,
          .stage = op == Op::send ? 0 : 1,
          .lane = 0,
          .op = op,
          .activity = op == Op::send ? Activity::wait_room : Activity::wait_input};
}

// Two workers with a lane between them; the second one's clock is an hour behind.
constexpr std::int64_t hour_ms = 3'600'000;
Schedule two_workers() {
  return streaming_schedule(make_groups({0, 1, 2}));
}
std::vector<WorkerTrace> two_traces() {
  WorkerTrace first{.worker = 0, .host = "alpha", .pid = 10, .spans = {}};
  WorkerTrace second{
      .worker = 1, .host = "beta", .pid = 20, .clock_offset_s = 3600, .clock_error_s = 1e-4, .spans = {}};
  const std::int64_t begin = 2 * hour_ms;
  for (int n = 0; n < 3; ++n) {
    first.spans.push_back(compute(n, begin + 10 * n, begin + 10 * n + 8, 0));
    first.spans.push_back(message(Op::send, n, begin + 10 * n + 8, begin + 10 * n + 9));
    second.spans.push_back(message(Op::receive, n, begin + 10 * n - hour_ms, begin + 10 * n + 10 - hour_ms));
  }
  second.spans.back().age_steps = 5;
  return {first, second};
}

Json events_of(const Json& trace, const std::string& phase) {
  Json events = Json::array();
  for (const Json& event : trace.at("traceEvents"))
    if (event.at("ph") == phase) events.push_back(event);
  return events;
}

TEST(ChromeTrace, HasASpanForEverySpanByTheFirstWorkersClockFromTheEarliestOn) {
  const Json spans = events_of(Json::parse(chrome_trace(two_workers(), two_traces())), "X");
  ASSERT_EQ(spans.size(), 9u);
  EXPECT_EQ(spans[0].at("name"), "compute s0");
  EXPECT_NEAR(spans[0].at("ts"), 0, 1e-3);
  EXPECT_NEAR(spans[0].at("dur"), 8000, 1e-3);
  for (const Json& span : spans) {
    EXPECT_GE(span.at("ts"), 0.0);
    EXPECT_LE(span.at("ts"), 30'000.0) << "the second worker's clock was not aligned";
  }
}

TEST(ChromeTrace, HasATrackOfItsOwnForWhatADeviceDid) {
  std::vector<WorkerTrace> traces = two_traces();
  EXPECT_EQ(events_of(Json::parse(chrome_trace(two_workers(), traces)), "M").size(), 4u);
  traces[1].spans.push_back(compute(0, hour_ms + 3, hour_ms + 9, 1));
  traces[1].spans.back().on_device = true;
  traces[1] = worker_trace(to_text(traces[1]));
  const Json trace = Json::parse(chrome_trace(two_workers(), traces));
  for (const Json& span : events_of(trace, "X")) {
    const bool on_device = span.at("name") == "compute s1";
    EXPECT_EQ(span.at("tid"), on_device ? 1 : 0);
  }
  std::vector<std::string> tracks;
  for (const Json& name : events_of(trace, "M"))
    if (name.at("name") == "thread_name") tracks.push_back(name.at("args").at("name"));
  EXPECT_EQ(tracks, (std::vector<std::string>{"worker 1 host", "worker 1 device"}));
}

TEST(ChromeTrace, JoinsEverySendAndReceiveByAFlowThatLiesInTheirSpans) {
  const Json trace = Json::parse(chrome_trace(two_workers(), two_traces()));
  const Json begins = events_of(trace, "s"), ends = events_of(trace, "f");
  ASSERT_EQ(begins.size(), 3u);
  ASSERT_EQ(ends.size(), 3u);
  for (int n = 0; n < 3; ++n) {
    EXPECT_EQ(begins[n].at("id"), ends[n].at("id"));
    EXPECT_EQ(begins[n].at("pid"), 0);
    EXPECT_EQ(ends[n].at("pid"), 1);
    EXPECT_EQ(ends[n].at("bp"), "e");
    EXPECT_LT(begins[n].at("ts"), ends[n].at("ts").get<double>() + 10'000);
    const auto within = [&](const Json& flow) {
      for (const Json& span : events_of(trace, "X"))
        if (span.at("pid") == flow.at("pid") && span.at("ts") <= flow.at("ts") &&
            flow.at("ts").get<double>() <= span.at("ts").get<double>() + span.at("dur").get<double>() &&
            span.at("args").contains("bytes"))
          return true;
      return false;
    };
    EXPECT_TRUE(within(begins[n]));
    EXPECT_TRUE(within(ends[n]));
  }
}

TEST(ChromeTrace, CountsTheMessagesOfALaneAndTheAgeOfSnapshots) {
  const Json counters = events_of(Json::parse(chrome_trace(two_workers(), two_traces())), "C");
  std::vector<std::int64_t> depth, age;
  for (const Json& counter : counters) {
    if (counter.at("args").contains("messages")) depth.push_back(counter.at("args").at("messages"));
    if (counter.at("args").contains("steps")) age.push_back(counter.at("args").at("steps"));
  }
  EXPECT_EQ(depth, (std::vector<std::int64_t>{1, 0, 1, 0, 1, 0}));
  EXPECT_EQ(age, std::vector<std::int64_t>{5});
}

TEST(ChromeTrace, CountsALanesMessagesRightWhereTheBeginningIsMissing) {
  std::vector<WorkerTrace> traces = two_traces();
  traces[0].spans.erase(traces[0].spans.begin(), traces[0].spans.begin() + 2);  // message 0's send
  for (const Json& counter : events_of(Json::parse(chrome_trace(two_workers(), traces)), "C"))
    if (counter.at("args").contains("messages")) {
      EXPECT_GE(counter.at("args").at("messages"), 0);
      EXPECT_LE(counter.at("args").at("messages"), 1);
    }
}

TEST(ChromeTrace, SaysHowMuchIsMissing) {
  std::vector<WorkerTrace> traces = two_traces();
  traces[1].num_overwritten = 7;
  EXPECT_THAT(chrome_trace(two_workers(), traces), HasSubstr("the first 7 of 10 spans are missing"));
}

TEST(WorkerTrace, ComesBackFromItsTextAsItWas) {
  for (const WorkerTrace& trace : two_traces()) {
    const WorkerTrace back = worker_trace(to_text(trace));
    EXPECT_EQ(back.host, trace.host);
    EXPECT_EQ(back.clock_offset_s, trace.clock_offset_s);
    ASSERT_EQ(back.spans.size(), trace.spans.size());
    for (std::size_t i = 0; i < trace.spans.size(); ++i) {
      EXPECT_EQ(back.spans[i].start, trace.spans[i].start);
      EXPECT_EQ(back.spans[i].end, trace.spans[i].end);
      EXPECT_EQ(back.spans[i].bytes, trace.spans[i].bytes);
      EXPECT_EQ(back.spans[i].age_steps, trace.spans[i].age_steps);
      EXPECT_EQ(back.spans[i].op, trace.spans[i].op);
      EXPECT_EQ(back.spans[i].activity, trace.spans[i].activity);
    }
  }
}

}  // namespace
}  // namespace lamina
