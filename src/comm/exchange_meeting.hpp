#pragma once

#include <future>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "comm/asio.hpp"
#include "comm/exchange_handshake.hpp"
#include "comm/exchange_link.hpp"
#include "lamina/core/refusals.hpp"

namespace lamina {

using ExchangeLinks = std::map<int, std::shared_ptr<ExchangeLink>>;  // by peer

/// How workers find each other: calls those of lower numbers, answers those of higher numbers, turns
/// strangers away, and starts the links.
///
/// Crowds    of strangers that have not proved who they are only so many are kept, each for so long. Who
///           comes takes the place of the oldest; a worker that is crowded out, or whose call is lost on
///           the way, calls again.
/// Threads   the constructor and address() from any; begin() and stop() on the io thread.
class ExchangeMeeting {
 public:
  /// Listens. Who calls before begin() is kept waiting by the system. @throws Error{device}
  ExchangeMeeting(asio::io_context& io, const ExchangeOptions& options);

  std::string address() const { return address_; }

  /// Starts all links; `met` is told when they stand, or why they do not.
  void begin(const ExchangeLinks& links, Seconds limit, std::promise<void> met);

  /// Closes everything but the links. `met` is told, if that has not happened.
  void stop();

 private:
  // A connection whose other end has not yet proved who it is.
  struct Stranger {
    explicit Stranger(tcp::socket its_socket) : socket(std::move(its_socket)), timer(socket.get_executor()) {}
    tcp::socket socket;
    asio::steady_timer timer;
    std::optional<TurnedAway> hung_up{};  // why this side closed the socket
  };
  using StrangerPtr = std::shared_ptr<Stranger>;

  asio::awaitable<void> accept_all();
  asio::awaitable<void> answer(StrangerPtr caller);
  asio::awaitable<void> admit(Stranger& caller);
  asio::awaitable<void> call(StrangerPtr callee, std::shared_ptr<ExchangeLink> link);
  asio::awaitable<void> connect(StrangerPtr callee, const ExchangeLink& link, bool again);
  asio::awaitable<bool> introduce(Stranger& callee, ExchangeLink& link);
  void make_room(std::size_t most);
  void hang_up_after(const StrangerPtr& stranger, Seconds limit, const char* why);
  void check_all_stand();
  void settle(std::exception_ptr failure);
  std::string missing() const;

  asio::io_context& io_;
  const int worker_;
  const std::string token_;
  const Seconds timeout_;
  tcp::acceptor acceptor_;
  std::string address_;
  ExchangeLinks links_;
  std::list<StrangerPtr> callers_;  // in the order of their coming
  std::list<StrangerPtr> callees_;
  Refusals refusals_;
  asio::steady_timer limit_;
  std::promise<void> met_;
  bool is_settled_ = true;
};

}  // namespace lamina
