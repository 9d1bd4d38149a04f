#include "lamina/study/run_watch.hpp"

#include <fmt/format.h>

#include <deque>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "lamina/control/host_port.hpp"
#include "lamina/control/metrics_client.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/files.hpp"
#include "lamina/train/metrics_tail.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;

constexpr double interval_s = 5;
constexpr double silence_s = 5;  // worth telling
constexpr Seconds request_limit{5};

// The looks of the last seconds, and how long ago the newest step came.
class RecentLooks {
 public:
  void add(const RunFigures& figures) {
    if (!looks_.empty() && looks_.back().steps == figures.steps && looks_.back().step == figures.step) {
      looks_.back() = figures;
      return;
    }
    if (!looks_.empty() && looks_.back().steps > figures.steps) looks_.clear();  // resumed
    since_step_.lap_s();
    looks_.push_back(figures);
    while (looks_.size() > 2 && looks_.back().seconds - looks_[1].seconds >= interval_s) looks_.pop_front();
  }

  RunSight sight(const std::string& where) const {
    RunSight sight{.where = where};
    if (!looks_.empty()) sight.now = looks_.back();
    if (looks_.size() > 1) sight.before = looks_.front();
    if (since_step_.elapsed_s() >= silence_s)
      sight.state = fmt::format("no step for {:.0f} s", since_step_.elapsed_s());
    return sight;
  }

 private:
  std::deque<RunFigures> looks_;
  Stopwatch since_step_;
};

// The end's state, once the summary is no older than the metrics: one from before a resume is.
std::string end_of(const fs::path& run) {
  std::error_code missing;
  const auto told = fs::last_write_time(run / "summary.json", missing);
  if (missing || told < fs::last_write_time(run / "metrics.jsonl", missing) || missing) return {};
  const auto summary =
      nlohmann::json::parse(read_file(run / "summary.json"), nullptr, /*allow_exceptions=*/false);
  if (!summary.is_object()) return {};
  return summary.value("complete", false) ? "the run is done" : "the run was stopped";
}

std::function<RunLook()> watch_directory(const std::string& where) {
  struct State {
    MetricsTail tail;
    RecentLooks recent;
  };
  const auto state = std::make_shared<State>(State{MetricsTail(fs::path(where) / "metrics.jsonl"), {}});
  return [where, state] {
    const std::string end = end_of(where);  // before reading, so that nothing comes behind an end
    if (state->tail.read()) state->recent.add(state->tail.figures());
    RunLook look{.sight = state->recent.sight(where), .over = !end.empty()};
    if (look.over) look.sight.state = end;
    return look;
  };
}

std::function<RunLook()> watch_endpoint(const std::string& where, const HostPort& endpoint) {
  const auto recent = std::make_shared<RecentLooks>();
  return [where, endpoint, recent, first = true]() mutable {
    try {
      recent->add(fetch_figures(endpoint, request_limit));
    } catch (const Error& e) {
      if (first) throw;
      RunLook look{.sight = recent->sight(where), .over = true};
      look.sight.state = "the endpoint is gone: the run has ended, or was lost";
      return look;
    }
    first = false;
    return RunLook{.sight = recent->sight(where)};
  };
}

}  // namespace

std::function<RunLook()> watch_run(const std::string& where) {
  if (fs::is_directory(where)) {
    if (!fs::exists(fs::path(where) / "config.yaml"))
      throw Error(ErrorKind::storage,
                  fmt::format("{}: expected a run's directory, found no config.yaml there", where));
    return watch_directory(where);
  }
  if (const auto endpoint = host_port(where)) return watch_endpoint(where, *endpoint);
  throw Error(ErrorKind::storage,
              fmt::format("{}: expected a run's directory or HOST:PORT, found neither", where));
}

}  // namespace lamina
