#include "comm/exchange_meeting.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "comm/host_address.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/log.hpp"

namespace lamina {

namespace {

constexpr std::size_t most_strangers = 64;
constexpr const char* remedy = "; snapshots.interface chooses the network";

std::string hello_bytes(const Hello& hello) {
  return {reinterpret_cast<const char*>(&hello), sizeof(hello)};
}

// A day is endless here, and does not overflow the clock as an infinite limit would.
Clock::duration bounded(Seconds limit) {
  return std::chrono::duration_cast<Clock::duration>(std::min(limit, Seconds(86400)));
}

std::string whereabouts(const tcp::socket& socket) {
  boost::system::error_code gone;
  const tcp::endpoint endpoint = socket.remote_endpoint(gone);
  return gone ? "an address that is gone" : endpoint_text(endpoint);
}

// What an exception in flight says; of a system error without the name of the call that met it.
std::string words_of(const std::exception& error) {
  const auto* system = dynamic_cast<const boost::system::system_error*>(&error);
  return system ? system->code().message() : error.what();
}

}  // namespace

ExchangeMeeting::ExchangeMeeting(asio::io_context& io, const ExchangeOptions& options)
    : io_(io),
      worker_(options.worker),
      token_(options.token),
      timeout_(options.timeout),
      acceptor_(io),
      limit_(io) {
  const tcp::endpoint here(host_address(options.interface), 0);
  try {
    acceptor_.open(here.protocol());
    acceptor_.bind(here);
    acceptor_.listen();
    address_ = endpoint_text(acceptor_.local_endpoint());
  } catch (const boost::system::system_error& error) {
    throw Error(ErrorKind::device, fmt::format("worker {} cannot listen for snapshots at {}: {}{}", worker_,
                                               here.address().to_string(), error.code().message(), remedy));
  }
}

void ExchangeMeeting::begin(const ExchangeLinks& links, Seconds limit, std::promise<void> met) {
  links_ = links;
  met_ = std::move(met);
  is_settled_ = false;
  limit_.expires_after(bounded(limit));
  limit_.async_wait([this, limit](boost::system::error_code cancelled) {
    if (cancelled) return;
    settle(std::make_exception_ptr(
        Error(ErrorKind::timeout, fmt::format("worker {} waited {} s for snapshot connections with {}{}",
                                              worker_, limit.count(), missing(), remedy))));
  });
  for (const auto& [peer, link] : links_) {
    if (peer > worker_) continue;
    const auto callee = *strangers_.insert(std::make_shared<Stranger>(tcp::socket(io_))).first;
    asio::co_spawn(io_, call(callee, link), asio::detached);
  }
  asio::co_spawn(io_, accept_all(), asio::detached);
  check_all_stand();
}

void ExchangeMeeting::stop() {
  settle(std::make_exception_ptr(
      Error(ErrorKind::peer_lost, fmt::format("worker {} stopped exchanging snapshots", worker_))));
  boost::system::error_code ignored;
  acceptor_.close(ignored);
}

asio::awaitable<void> ExchangeMeeting::accept_all() {
  asio::steady_timer pause(io_);
  while (acceptor_.is_open()) {
    boost::system::error_code failed = asio::error::try_again;
    if (strangers_.size() < most_strangers + links_.size()) {
      tcp::socket socket = co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, failed));
      if (is_settled_) co_return;
      if (!failed) {
        const auto caller = *strangers_.insert(std::make_shared<Stranger>(std::move(socket))).first;
        asio::co_spawn(io_, answer(caller), asio::detached);
      }
    }
    if (failed) {
      // A crowd, or no descriptors left: the system keeps callers waiting while strangers time out.
      pause.expires_after(std::chrono::milliseconds(20));
      co_await pause.async_wait(asio::use_awaitable);
    }
  }
}

asio::awaitable<void> ExchangeMeeting::answer(StrangerPtr caller) {
  const std::string from = whereabouts(caller->socket);
  caller->limit.expires_after(bounded(timeout_));
  caller->limit.async_wait([caller](boost::system::error_code cancelled) {
    boost::system::error_code ignored;
    if (!cancelled) caller->socket.close(ignored);
  });
  std::string objection;
  try {
    Hello hello{};
    co_await asio::async_read(caller->socket, asio::buffer(&hello, sizeof(hello)), asio::use_awaitable);
    admit(*caller, hello);
  } catch (const std::exception& error) {
    objection = caller->socket.is_open() ? words_of(error) : "it did not say who it is in time";
  }
  caller->limit.cancel();
  strangers_.erase(caller);
  if (!objection.empty() && !is_settled_) {
    log_warning(
        fmt::format("worker {} turned away {}, which asked for snapshots: {}", worker_, from, objection));
  }
  check_all_stand();
}

void ExchangeMeeting::admit(Stranger& caller, const Hello& hello) {
  if (const auto objection = objection_to(hello, worker_, token_)) {
    throw Error(ErrorKind::peer_lost, *objection);
  }
  const auto link = links_.find(hello.from);
  if (link == links_.end() || hello.from < worker_ || link->second->has_started()) {
    throw Error(ErrorKind::peer_lost, fmt::format("worker {} is not expected to call", hello.from));
  }
  // Only who has proved to know the token is told it.
  link->second->start(std::move(caller.socket), hello_bytes(make_hello(worker_, hello.from, token_)));
}

asio::awaitable<void> ExchangeMeeting::call(StrangerPtr callee, std::shared_ptr<ExchangeLink> link) {
  std::string objection;
  ErrorKind kind = ErrorKind::peer_lost;
  try {
    boost::system::error_code no_way;
    co_await callee->socket.async_connect(endpoint_of(link->address()),
                                          asio::redirect_error(asio::use_awaitable, no_way));
    if (no_way) throw Error(ErrorKind::device, no_way.message() + remedy);
    const std::string greeting = hello_bytes(make_hello(worker_, link->peer(), token_));
    co_await asio::async_write(callee->socket, asio::buffer(greeting), asio::use_awaitable);
    Hello hello{};
    co_await asio::async_read(callee->socket, asio::buffer(&hello, sizeof(hello)), asio::use_awaitable);
    objection = objection_to(hello, worker_, token_).value_or("");
    if (objection.empty()) link->start(std::move(callee->socket), "");
  } catch (const boost::system::system_error& error) {
    objection = error.code() == asio::error::eof ? "it hung up on this worker's hello" : words_of(error);
  } catch (const Error& error) {
    objection = error.what();
    kind = error.kind();
  } catch (const std::exception& error) {
    objection = words_of(error);
  }
  strangers_.erase(callee);
  if (!objection.empty()) {
    settle(std::make_exception_ptr(
        Error(kind, fmt::format("worker {} cannot exchange snapshots with worker {} at {}: {}", worker_,
                                link->peer(), link->address(), objection))));
  }
  check_all_stand();
}

void ExchangeMeeting::check_all_stand() {
  if (missing().empty()) settle(nullptr);
}

void ExchangeMeeting::settle(std::exception_ptr failure) {
  if (is_settled_) return;
  is_settled_ = true;
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  limit_.cancel();
  for (const StrangerPtr& stranger : strangers_) stranger->socket.close(ignored);
  failure ? met_.set_exception(failure) : met_.set_value();
}

std::string ExchangeMeeting::missing() const {
  std::vector<std::string> names;
  for (const auto& [peer, link] : links_) {
    if (!link->has_started()) names.push_back(fmt::format("worker {} at {}", peer, link->address()));
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace lamina
