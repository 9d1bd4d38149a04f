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

namespace lamina {

namespace {

constexpr std::size_t most_strangers = 128;
constexpr Seconds longest_handshake{10};
constexpr Seconds longest_knock{3};
constexpr const char* remedy = "; snapshots.interface chooses the network";

template <class Message>
asio::awaitable<void> read(tcp::socket& socket, Message& message) {
  co_await asio::async_read(socket, asio::buffer(&message, sizeof(message)), asio::use_awaitable);
}

// The message is a copy, as it may be a temporary of a caller that waits.
template <class Message>
asio::awaitable<void> write(tcp::socket& socket, Message message) {
  co_await asio::async_write(socket, asio::buffer(&message, sizeof(message)), asio::use_awaitable);
}

bool is_hanging_up(const boost::system::error_code& error) {
  return error == asio::error::eof || error == asio::error::connection_reset ||
         error == asio::error::broken_pipe;
}

Clock::duration bounded(Seconds limit) {
  return std::chrono::duration_cast<Clock::duration>(for_a_wait(limit));
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
      refusals_(fmt::format("worker {}", options.worker)),
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
    callees_.push_back(std::make_shared<Stranger>(tcp::socket(io_)));
    asio::co_spawn(io_, call(callees_.back(), link), asio::detached);
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
    boost::system::error_code failed;
    tcp::socket socket = co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, failed));
    if (is_settled_) co_return;
    if (!failed) {
      make_room(most_strangers + links_.size() - 1);
      callers_.push_back(std::make_shared<Stranger>(std::move(socket)));
      asio::co_spawn(io_, answer(callers_.back()), asio::detached);
    } else {
      // As a rule no descriptors are left; strangers hold some.
      make_room(callers_.size() / 2);
      pause.expires_after(std::chrono::milliseconds(20));
      co_await pause.async_wait(asio::use_awaitable);
    }
  }
}

void ExchangeMeeting::make_room(std::size_t most) {
  for (; callers_.size() > most; callers_.pop_front()) {
    Stranger& oldest = *callers_.front();
    oldest.hung_up = {"crowded out", "others came before it said who it is"};
    boost::system::error_code ignored;
    oldest.socket.close(ignored);
  }
}

void ExchangeMeeting::hang_up_after(const StrangerPtr& stranger, Seconds limit, const char* why) {
  stranger->timer.expires_after(bounded(limit));
  stranger->timer.async_wait([stranger, why](boost::system::error_code cancelled) {
    if (cancelled || stranger->timer.expiry() > Clock::now()) return;  // it was set anew meanwhile
    stranger->hung_up = {"too slow", why};
    boost::system::error_code ignored;
    stranger->socket.close(ignored);
  });
}

asio::awaitable<void> ExchangeMeeting::answer(StrangerPtr caller) {
  const std::string from = whereabouts(caller->socket);
  hang_up_after(caller, std::min(timeout_, longest_handshake), "it did not say who it is in time");
  std::optional<TurnedAway> objection;
  try {
    co_await admit(*caller);
  } catch (const TurnedAway& turned_away) {
    objection = turned_away;
  } catch (const std::exception& error) {
    objection = caller->hung_up.value_or(TurnedAway{"broken off", words_of(error)});
  }
  caller->timer.cancel();
  callers_.remove(caller);
  if (objection && !is_settled_)
    refusals_.note(objection->kind, from + ", which asked for snapshots", objection->why);
  check_all_stand();
}

asio::awaitable<void> ExchangeMeeting::admit(Stranger& caller) {
  Hello hello{};
  co_await read(caller.socket, hello.greeting);
  if (hello.greeting.magic == greeting().magic && hello.greeting.protocol != greeting().protocol)
    co_await write(caller.socket, greeting());  // that the other side can tell, too
  check_greeting(hello.greeting);
  co_await read(caller.socket, hello.caller);
  co_await read(caller.socket, hello.callee);
  co_await read(caller.socket, hello.nonce);
  const Challenge challenge{.greeting = greeting(), .nonce = fresh_nonce()};
  co_await write(caller.socket, challenge);
  Proof proof;
  co_await read(caller.socket, proof);

  std::optional<TurnedAway> objection;
  const auto link = links_.find(hello.caller);
  if (!is_same(proof, proof_of(End::caller, hello, challenge.nonce, token_))) {
    objection = {"without the run's token", "its token is of another run"};
  } else if (hello.callee != worker_) {
    objection = {"not expected",
                 fmt::format("worker {} looks for worker {} here", hello.caller, hello.callee)};
  } else if (link == links_.end() || hello.caller < worker_ || link->second->has_started()) {
    objection = {"not expected", fmt::format("worker {} is not expected to call", hello.caller)};
  }
  if (objection) {
    co_await write(caller.socket, Verdict{.admitted = 0, .proof = {}});
    throw TurnedAway(*objection);
  }
  const Proof own = proof_of(End::callee, hello, challenge.nonce, token_);
  link->second->start(std::move(caller.socket), bytes_of(Verdict{.admitted = 1, .proof = own}));
}

asio::awaitable<void> ExchangeMeeting::call(StrangerPtr callee, std::shared_ptr<ExchangeLink> link) {
  std::optional<Error> failure;
  const auto fail = [&](ErrorKind kind, const std::string& why) {
    failure.emplace(kind, fmt::format("worker {} cannot exchange snapshots with worker {} at {}: {}", worker_,
                                      link->peer(), link->address(), why));
  };
  try {
    for (bool again = false;; again = true) {
      co_await connect(callee, *link, again);
      if (co_await introduce(*callee, *link)) break;
      callee->socket = tcp::socket(io_);
      callee->timer.expires_after(std::chrono::milliseconds(100));
      co_await callee->timer.async_wait(asio::use_awaitable);
    }
  } catch (const TurnedAway& turned_away) {
    fail(ErrorKind::peer_lost, turned_away.why);
  } catch (const Error& error) {
    fail(error.kind(), error.what());
  } catch (const std::exception& error) {
    fail(ErrorKind::peer_lost, words_of(error));
  }
  callees_.remove(callee);
  if (failure) settle(std::make_exception_ptr(*failure));
  check_all_stand();
}

// Where others crowd the door, or a link is down, calls get lost. The system repeats a lost one ever more
// seldom and then gives up; a new one every few seconds is there soon after the way is free.
asio::awaitable<void> ExchangeMeeting::connect(StrangerPtr callee, const ExchangeLink& link, bool again) {
  boost::system::error_code no_way;
  for (bool is_lost = true; is_lost;) {
    hang_up_after(callee, longest_knock, "nobody heard the call");
    co_await callee->socket.async_connect(endpoint_of(link.address()),
                                          asio::redirect_error(asio::use_awaitable, no_way));
    const bool is_late = callee->timer.cancel() == 0;
    is_lost = !is_settled_ && (is_late || no_way == asio::error::timed_out);
    if (is_lost) callee->socket = tcp::socket(io_);
  }
  if (no_way && again) throw Error(ErrorKind::peer_lost, "it hung up and is gone: " + no_way.message());
  if (no_way) throw Error(ErrorKind::device, no_way.message() + remedy);
}

// False if the other side hung up without a verdict, as it does on the oldest of a crowd.
asio::awaitable<bool> ExchangeMeeting::introduce(Stranger& callee, ExchangeLink& link) {
  try {
    const Hello hello{
        .greeting = greeting(), .caller = worker_, .callee = link.peer(), .nonce = fresh_nonce()};
    co_await write(callee.socket, hello);
    Challenge challenge{};
    co_await read(callee.socket, challenge.greeting);
    check_greeting(challenge.greeting);
    co_await read(callee.socket, challenge.nonce);
    co_await write(callee.socket, proof_of(End::caller, hello, challenge.nonce, token_));
    Verdict verdict{};
    co_await read(callee.socket, verdict);
    if (!verdict.admitted) throw TurnedAway{"", "it turned this worker away; its log says why"};
    if (!is_same(verdict.proof, proof_of(End::callee, hello, challenge.nonce, token_)))
      throw TurnedAway{"", "its token is of another run"};
    link.start(std::move(callee.socket), "");
    co_return true;
  } catch (const boost::system::system_error& error) {
    if (is_settled_ || !is_hanging_up(error.code())) throw;
    co_return false;
  }
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
  for (const auto& strangers : {callers_, callees_}) {
    for (const StrangerPtr& stranger : strangers) {
      stranger->socket.close(ignored);
      stranger->timer.cancel();
    }
  }
  refusals_.sum_up();
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
