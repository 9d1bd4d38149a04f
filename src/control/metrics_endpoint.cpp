#include "lamina/control/metrics_endpoint.hpp"

#include <fmt/format.h>
#include <fmt/ostream.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <cmath>
#include <list>
#include <memory>
#include <optional>
#include <thread>

#include "control/asio.hpp"
#include "control/figure_fields.hpp"
#include "lamina/control/host_port.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/refusals.hpp"

namespace lamina {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using Response = http::response<http::string_body>;

constexpr std::chrono::seconds client_limit{30};
constexpr std::size_t most_clients = 64;
constexpr std::chrono::milliseconds between_clients{1};
constexpr std::chrono::milliseconds between_requests{50};  // of one client
constexpr std::size_t longest_request = 8 * 1024;

[[noreturn]] void refuse(const std::string& listen, const std::string& reason) {
  throw Error(
      ErrorKind::device,
      fmt::format("metrics.listen: expected an address and port to listen on, found {}: {}", listen, reason));
}

tcp::acceptor listen_on(asio::io_context& io, const std::string& listen) {
  const std::optional<HostPort> where = host_port(listen);
  if (!where)
    throw Error(ErrorKind::config,
                fmt::format("metrics.listen: expected PORT or HOST:PORT, found {}", listen));
  boost::system::error_code error;
  const auto found = tcp::resolver(io).resolve(where->host, std::to_string(where->port), error);
  if (error || found.empty()) refuse(listen, error.message());
  const tcp::endpoint endpoint = found.begin()->endpoint();
  tcp::acceptor acceptor(io);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(tcp::acceptor::max_listen_connections, error);
  if (error) refuse(listen, error.message());
  return acceptor;
}

// All metrics of a name stand together, as the format asks.
template <class Figures>
void add(std::vector<MetricFamily>& families, const FigureField<Figures>& field, const Figures& figures,
         std::vector<ClientMetric::Label> labels) {
  const double value = figures.*field.value;
  if (std::isnan(value)) return;
  const bool counts = field.kind == FigureKind::counter;
  auto family = std::find_if(families.begin(), families.end(),
                             [&](const MetricFamily& known) { return known.name == field.name; });
  if (family == families.end())
    family = families.insert(families.end(),
                             {std::string(field.name),
                              std::string(field.help),
                              counts ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge,
                              {}});
  ClientMetric metric;
  if (!field.activity.empty()) labels.push_back({"activity", std::string(field.activity)});
  metric.label = std::move(labels);
  (counts ? metric.counter.value : metric.gauge.value) = value;
  family->metric.push_back(std::move(metric));
}

std::string page_of(const RunFigures& figures) {
  std::vector<MetricFamily> families;
  for (const auto& field : run_fields) add(families, field, figures, {});
  for (std::size_t i = 0; i < figures.modules.size(); ++i)
    for (const auto& field : module_fields)
      add(families, field, figures.modules[i],
          {{"module", std::to_string(i)}, {"stage", std::to_string(figures.modules[i].stage)}});
  for (std::size_t i = 0; i < figures.stages.size(); ++i)
    for (const auto& field : stage_fields)
      add(families, field, figures.stages[i],
          {{"stage", std::to_string(i)}, {"worker", std::to_string(figures.stages[i].worker)}});
  return prometheus::TextSerializer().Serialize(families);
}

using Newest = std::function<RunFigures()>;

Response answer(const http::request<http::empty_body>& request, const Newest& newest) {
  const bool is_asked = request.target() == "/metrics" &&
                        (request.method() == http::verb::get || request.method() == http::verb::head);
  Response response(is_asked ? http::status::ok : http::status::not_found, request.version());
  response.set(http::field::content_type, "text/plain; version=0.0.4; charset=utf-8");
  response.keep_alive(request.keep_alive());
  response.body() = is_asked ? page_of(newest()) : "expected GET /metrics\n";
  response.prepare_payload();
  if (request.method() == http::verb::head) response.body().clear();
  return response;
}

asio::awaitable<void> pause(std::chrono::milliseconds how_long) {
  asio::steady_timer timer(co_await asio::this_coro::executor, how_long);
  co_await timer.async_wait(asio::use_awaitable);
}

// Whoever has connected, on the io thread. A crowd costs a bounded number of descriptors and requests a
// second: a run may not become slower for being watched.
class Clients {
 public:
  Clients(tcp::acceptor& acceptor, const Newest& newest) : acceptor_(acceptor), newest_(newest) {}
  ~Clients() { refusals_.sum_up(); }

  asio::awaitable<void> accept_all() {
    for (;;) {
      boost::system::error_code error;
      tcp::socket socket = co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, error));
      if (!error) {
        make_room(most_clients - 1);
        streams_.push_back(std::make_shared<beast::tcp_stream>(std::move(socket)));
        asio::co_spawn(acceptor_.get_executor(), serve(streams_.back()), asio::detached);
        co_await pause(between_clients);
        continue;
      }
      // Out of descriptors, or the client left: there is time until the next one.
      make_room(streams_.size() / 2);
      co_await pause(std::chrono::milliseconds(100));
    }
  }

 private:
  using Stream = std::shared_ptr<beast::tcp_stream>;

  void make_room(std::size_t most) {
    for (; streams_.size() > most; streams_.pop_front()) {
      refusals_.note("crowded out", address_of(*streams_.front()),
                     fmt::format("{} others have asked or come after it", streams_.size() - 1));
      streams_.front()->close();
    }
  }

  // One client, for as long as it asks in time. Its faults and its leaving end this alone.
  asio::awaitable<void> serve(Stream stream) {
    const std::string from = address_of(*stream);
    bool has_asked = false;
    try {
      beast::flat_buffer buffer(longest_request);
      for (bool stays = true; stays;) {
        stream->expires_after(client_limit);
        http::request<http::empty_body> request;
        co_await http::async_read(*stream, buffer, request, asio::use_awaitable);
        // Of a crowd those stay who have asked last.
        if (const auto place = std::find(streams_.begin(), streams_.end(), stream); place != streams_.end())
          streams_.splice(streams_.end(), streams_, place);
        has_asked = true;
        const Response response = answer(request, newest_);
        co_await http::async_write(*stream, response, asio::use_awaitable);
        stays = response.keep_alive();
        if (stays) co_await pause(between_requests);
      }
    } catch (const boost::system::system_error& e) {
      if (is_no_request(e.code()) || (!has_asked && e.code() == beast::error::timeout))
        refusals_.note("without a request", from, e.code().message());
    } catch (const std::exception& e) {
      refusals_.note("without an answer", from, e.what());
    }
    streams_.remove(stream);
  }

  static std::string address_of(const beast::tcp_stream& stream) {
    boost::system::error_code gone;
    const tcp::endpoint endpoint = stream.socket().remote_endpoint(gone);
    return gone ? "an address that is gone" : fmt::format("{}", fmt::streamed(endpoint));
  }

  // What was sent is at fault, or was not all of it, and not the connection.
  static bool is_no_request(const boost::system::error_code& code) {
    return code.category() == http::make_error_code(http::error::bad_method).category() &&
           code != http::error::end_of_stream;
  }

  tcp::acceptor& acceptor_;
  const Newest& newest_;
  Refusals refusals_{"metrics.listen"};
  std::list<Stream> streams_;  // who has asked or come last is at the end
};

}  // namespace

struct MetricsEndpoint::Parts {
  Parts(const std::string& listen, Newest source)
      : newest(std::move(source)), acceptor(listen_on(io, listen)), thread([this] {
          asio::co_spawn(io, clients.accept_all(), asio::detached);
          io.run();
        }) {}
  ~Parts() { io.stop(); }  // the thread is joined by its own destructor, first of all

  Newest newest;
  asio::io_context io;
  tcp::acceptor acceptor;
  Clients clients{acceptor, newest};
  std::string address = fmt::format("{}", fmt::streamed(acceptor.local_endpoint()));
  std::jthread thread;
};

MetricsEndpoint::MetricsEndpoint(const std::string& listen, std::function<RunFigures()> newest)
    : parts_(std::make_unique<Parts>(listen, std::move(newest))) {}

MetricsEndpoint::~MetricsEndpoint() = default;

const std::string& MetricsEndpoint::address() const {
  return parts_->address;
}

}  // namespace lamina
