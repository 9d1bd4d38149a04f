#include "lamina/control/metrics_client.hpp"

#include <fmt/format.h>

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <charconv>
#include <map>
#include <optional>
#include <sstream>
#include <string_view>

#include "control/asio.hpp"
#include "control/figure_fields.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/within.hpp"

namespace lamina {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using Response = http::response<http::string_body>;

using Addresses = tcp::resolver::results_type;

// The system looks a name up for as long as it likes, minutes even, and cannot be called off.
Addresses look_up(const HostPort& from, Seconds limit) {
  const std::optional<Addresses> found = within(limit, [from] {
    asio::io_context io;
    return tcp::resolver(io).resolve(from.host, std::to_string(from.port));
  });
  if (!found) throw boost::system::system_error(asio::error::timed_out);
  return *found;
}

asio::awaitable<Response> get(const HostPort& from, const Addresses& addresses, Clock::time_point end) {
  beast::tcp_stream stream(co_await asio::this_coro::executor);
  stream.expires_at(end);
  co_await stream.async_connect(addresses, asio::use_awaitable);
  http::request<http::empty_body> request(http::verb::get, "/metrics", 11);
  request.set(http::field::host, from.host);
  request.set(http::field::connection, "close");
  co_await http::async_write(stream, request, asio::use_awaitable);
  beast::flat_buffer buffer;
  Response response;
  co_await http::async_read(stream, buffer, response, asio::use_awaitable);
  co_return response;
}

// One line of the text: name{label="value",...} number
struct Sample {
  std::string name;
  std::map<std::string, std::string> labels;
  double value = unknown;

  int index(const std::string& label) const {
    const auto found = labels.find(label);
    int number = -1;
    if (found != labels.end())
      std::from_chars(found->second.data(), found->second.data() + found->second.size(), number);
    return number;
  }
};

std::optional<Sample> sample_of(std::string_view line) {
  if (!line.starts_with("lamina_")) return std::nullopt;
  Sample sample;
  std::size_t at = std::min(line.find_first_of("{ "), line.size());
  sample.name = line.substr(0, at);
  if (at < line.size() && line[at] == '{') {
    const std::size_t end = line.find('}', at);
    if (end == std::string_view::npos) return std::nullopt;
    std::stringstream labels{std::string(line.substr(at + 1, end - at - 1))};
    for (std::string label; std::getline(labels, label, ',');)
      if (const std::size_t equal = label.find("=\""); equal != std::string::npos && label.ends_with('"'))
        sample.labels[label.substr(0, equal)] = label.substr(equal + 2, label.size() - equal - 3);
    at = end + 1;
  }
  while (at < line.size() && line[at] == ' ') ++at;
  std::from_chars(line.data() + at, line.data() + line.size(), sample.value);
  return sample;
}

// Puts a sample where the table says; false if it is of none of the table's metrics.
template <class Table, class Figures>
bool put(const Table& table, const Sample& sample, Figures& figures) {
  const auto activity = sample.labels.find("activity");
  const std::string_view wanted = activity == sample.labels.end() ? "" : std::string_view(activity->second);
  for (const auto& field : table)
    if (field.name == sample.name && field.activity == wanted) {
      figures.*field.value = sample.value;
      return true;
    }
  return false;
}

// More than any run has: what a stranger's text may make this process set aside is bounded.
constexpr int most_entries = 4096;

template <class Figures>
Figures* entry(std::vector<Figures>& list, int index) {
  if (index < 0 || index >= most_entries) return nullptr;
  if (index >= static_cast<int>(list.size())) list.resize(static_cast<std::size_t>(index) + 1);
  return &list[static_cast<std::size_t>(index)];
}

bool put(const Sample& sample, RunFigures& figures) {
  if (sample.name.starts_with("lamina_module_")) {
    ModuleFigures* module = entry(figures.modules, sample.index("module"));
    if (module) module->stage = sample.index("stage");
    return module && put(module_fields, sample, *module);
  }
  if (sample.name.starts_with("lamina_stage_")) {
    StageFigures* stage = entry(figures.stages, sample.index("stage"));
    if (stage) stage->worker = sample.index("worker");
    return stage && put(stage_fields, sample, *stage);
  }
  return put(run_fields, sample, figures);
}

}  // namespace

RunFigures figures_in(const std::string& text) {
  RunFigures figures;
  bool any = false;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (const std::optional<Sample> sample = sample_of(line)) any = put(*sample, figures) || any;
  if (!any) throw Error(ErrorKind::config, "expected the metrics of a Lamina run, found a page without any");
  return figures;
}

RunFigures fetch_figures(const HostPort& endpoint, Seconds limit) {
  const Clock::time_point end = Clock::now() + std::chrono::duration_cast<Clock::duration>(limit);
  try {
    const Addresses addresses = look_up(endpoint, limit);
    asio::io_context io;
    std::future<Response> asked = asio::co_spawn(io, get(endpoint, addresses, end), asio::use_future);
    io.run();
    const Response response = asked.get();
    if (response.result() != http::status::ok)
      throw Error(ErrorKind::config,
                  fmt::format("expected /metrics, found HTTP status {}", response.result_int()));
    return figures_in(response.body());
  } catch (const boost::system::system_error& e) {
    throw Error(ErrorKind::config, fmt::format("expected a run's metrics endpoint at {}:{}, found none: {}",
                                               endpoint.host, endpoint.port, e.code().message()));
  } catch (const Error& e) {
    throw Error(e.kind(), fmt::format("{}:{}: {}", endpoint.host, endpoint.port, e.what()));
  }
}

}  // namespace lamina
