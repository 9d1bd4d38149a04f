#include "lamina/control/metrics_endpoint.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <stdexcept>
#include <utility>

#include "control/some_figures.hpp"
#include "lamina/control/metrics_client.hpp"
#include "lamina/core/error.hpp"

namespace lamina {
namespace {

using boost::asio::ip::tcp;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr Seconds limit{20};

HostPort reached_at(const MetricsEndpoint& endpoint) {
  return host_port(endpoint.address()).value();
}

template <class Action>
void expect_error(const Action& action, ErrorKind kind, const ::testing::Matcher<std::string>& message) {
  try {
    action();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_THAT(error.what(), message);
  }
}

TEST(MetricsEndpoint, ShowsEveryFigureAndTheClientReadsItBack) {
  const RunFigures figures = some_figures();
  const MetricsEndpoint endpoint("0", [&] { return figures; });
  const RunFigures found = fetch_figures(reached_at(endpoint), limit);
  EXPECT_EQ(to_numbers(found), to_numbers(figures));
  for (std::size_t i = 0; i < figures.modules.size(); ++i)
    EXPECT_EQ(found.modules.at(i).stage, figures.modules[i].stage);
  for (std::size_t i = 0; i < figures.stages.size(); ++i)
    EXPECT_EQ(found.stages.at(i).worker, figures.stages[i].worker);
}

TEST(MetricsEndpoint, ListensOnTheLoopbackUnlessTold) {
  const MetricsEndpoint endpoint("0", [] { return RunFigures{}; });
  EXPECT_THAT(endpoint.address(), ::testing::StartsWith("127.0.0.1:"));
  EXPECT_NE(reached_at(endpoint).port, 0);
}

TEST(MetricsEndpoint, EveryRequestSeesTheNewestFigures) {
  RunFigures figures = some_figures();
  const MetricsEndpoint endpoint("0", [&] { return figures; });
  EXPECT_EQ(fetch_figures(reached_at(endpoint), limit).step, figures.step);
  figures.step += 1;
  EXPECT_EQ(fetch_figures(reached_at(endpoint), limit).step, figures.step);
}

TEST(MetricsEndpoint, WhatIsUnknownIsLeftOut) {
  RunFigures figures = some_figures();
  figures.test_accuracy = unknown;
  figures.modules[1].loss = unknown;
  const MetricsEndpoint endpoint("0", [&] { return figures; });
  const RunFigures found = fetch_figures(reached_at(endpoint), limit);
  EXPECT_TRUE(std::isnan(found.test_accuracy));
  EXPECT_TRUE(std::isnan(found.modules.at(1).loss));
  EXPECT_EQ(found.modules.at(1).accuracy, figures.modules[1].accuracy);
}

TEST(MetricsEndpoint, AnAddressThatCannotBeListenedOnIsNamedWithTheReason) {
  const MetricsEndpoint first("0", [] { return RunFigures{}; });
  const auto listen = [](const std::string& where) { MetricsEndpoint(where, [] { return RunFigures{}; }); };
  expect_error([&] { listen(first.address()); }, ErrorKind::device,
               AllOf(HasSubstr("metrics.listen"), HasSubstr(first.address()), HasSubstr("in use")));
  // Of the block for documentation: no host has it.
  expect_error([&] { listen("192.0.2.1:0"); }, ErrorKind::device, HasSubstr("192.0.2.1:0"));
  expect_error([&] { listen("somewhere"); }, ErrorKind::config, HasSubstr("somewhere"));
}

TEST(MetricsEndpoint, AnIdleCrowdHoldsABoundedNumberOfConnectionsAndKeepsNobodyOut) {
  constexpr std::size_t crowd_size = 200;
  constexpr std::size_t kept = 64;
  boost::asio::io_context io;
  std::vector<tcp::socket> crowd;
  testing::internal::CaptureStderr();
  {
    const RunFigures figures = some_figures();
    const MetricsEndpoint endpoint("0", [&] { return figures; });
    const tcp::endpoint there(boost::asio::ip::address_v4::loopback(), reached_at(endpoint).port);
    for (std::size_t i = 0; i < crowd_size; ++i) crowd.emplace_back(io).connect(there);
    for (std::size_t i = 0; i < crowd_size - kept; ++i) {
      char heard = 0;
      boost::system::error_code hung_up;
      EXPECT_EQ(boost::asio::read(crowd[i], boost::asio::buffer(&heard, 1), hung_up), 0u);
    }
    EXPECT_EQ(to_numbers(fetch_figures(reached_at(endpoint), limit)), to_numbers(figures));
  }
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, AllOf(HasSubstr("metrics.listen turned away 127.0.0.1:"), HasSubstr("crowded out")));
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 2) << log;
}

TEST(MetricsEndpoint, WhatIsNoRequestIsToldOnceAndCounted) {
  testing::internal::CaptureStderr();
  {
    const MetricsEndpoint endpoint("0", [] { return some_figures(); });
    const tcp::endpoint there(boost::asio::ip::address_v4::loopback(), reached_at(endpoint).port);
    boost::asio::io_context io;
    const std::string endless = "GET /metrics HTTP/1.1\r\nX: " + std::string(20000, 'x');
    for (const std::string& said : {std::string(4096, '\xa5'), std::string("lamina\r\n\r\n"), endless}) {
      tcp::socket stranger(io);
      stranger.connect(there);
      boost::system::error_code hung_up;
      boost::asio::write(stranger, boost::asio::buffer(said), hung_up);
      char heard = 0;
      EXPECT_EQ(boost::asio::read(stranger, boost::asio::buffer(&heard, 1), hung_up), 0u);
    }
    tcp::socket half(io);  // says half of a request, and then no more
    half.connect(there);
    boost::asio::write(half, boost::asio::buffer(std::string("GET /met")));
    half.shutdown(tcp::socket::shutdown_send);
    char heard = 0;
    boost::system::error_code hung_up;
    EXPECT_EQ(boost::asio::read(half, boost::asio::buffer(&heard, 1), hung_up), 0u);
    fetch_figures(reached_at(endpoint), limit);
  }
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("metrics.listen turned away 4 strangers in all: 4 without a request"));
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 2) << log;
}

TEST(MetricsEndpoint, FiguresThatCannotBeHadEndOneRequestAndNothingElse) {
  testing::internal::CaptureStderr();
  {
    const MetricsEndpoint endpoint("0", [is_first = true]() mutable -> RunFigures {
      if (std::exchange(is_first, false)) throw std::length_error("no figures yet");
      return some_figures();
    });
    expect_error([&] { fetch_figures(reached_at(endpoint), limit); }, ErrorKind::config,
                 HasSubstr("expected a run's metrics endpoint"));
    EXPECT_EQ(to_numbers(fetch_figures(reached_at(endpoint), limit)), to_numbers(some_figures()));
  }
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("no figures yet"));
}

TEST(MetricsClient, NobodyThereIsOneLine) {
  boost::asio::io_context io;
  tcp::acceptor bound(io, {boost::asio::ip::address_v4::loopback(), 0});
  const std::uint16_t port = bound.local_endpoint().port();
  bound.close();
  expect_error([&] { fetch_figures({"127.0.0.1", port}, limit); }, ErrorKind::config,
               AllOf(HasSubstr("127.0.0.1:" + std::to_string(port)), HasSubstr("refused")));
}

TEST(MetricsClient, WhoeverAcceptsAndSaysNothingIsLeftAfterTheLimit) {
  boost::asio::io_context io;
  const tcp::acceptor silent(io, {boost::asio::ip::address_v4::loopback(), 0});
  expect_error([&] { fetch_figures({"127.0.0.1", silent.local_endpoint().port()}, Seconds(0.2)); },
               ErrorKind::config, HasSubstr("expected a run's metrics endpoint"));
}

TEST(MetricsClient, APageWithoutARunsMetricsIsRefused) {
  for (const char* page : {"", "<html>", "process_cpu_seconds_total 3\n", "lamina_unheard_of 3\n",
                           "lamina_module_loss{module=\"99999999\"} 1\n", "lamina_stage_memory_bytes{stage="})
    expect_error([&] { figures_in(page); }, ErrorKind::config, HasSubstr("expected the metrics"));
}

}  // namespace
}  // namespace lamina
