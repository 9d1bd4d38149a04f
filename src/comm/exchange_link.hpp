#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "comm/asio.hpp"
#include "comm/exchange_frame.hpp"
#include "comm/exchange_outbox.hpp"
#include "lamina/comm/exchange.hpp"

namespace lamina {

/// What the links of one exchange share. The functions are called on the io thread.
struct ExchangeEvents {
  SnapshotReceived received;
  SnapshotsFailed failed;        ///< at most once a link, and never once it is finishing
  std::function<void()> closed;  ///< a link that stood has closed, for whatever reason
  std::atomic<std::int64_t> bytes_sent = 0;
  std::atomic<std::int64_t> bytes_received = 0;
};

/// The connection to one peer, from the moment when both know each other.
///
/// Threads   send() from any, all else on the io thread.
/// Lifetime  the two coroutines hold the link; both end once the connection is closed.
class ExchangeLink : public std::enable_shared_from_this<ExchangeLink> {
 public:
  ExchangeLink(asio::io_context& io, const ExchangeOptions& options, const ExchangePeer& peer,
               ExchangeEvents& events);

  int peer() const { return peer_; }
  const std::string& address() const { return address_; }

  /// The connection stands. `greeting` is written first.
  void start(tcp::socket socket, std::string greeting);
  bool has_started() const { return has_started_; }
  bool is_open() const { return is_reading_ || is_writing_; }

  /// @throws Error{contract} as Exchange::send.
  void send(std::shared_ptr<const Snapshot> snapshot);

  /// Writes what is to be written, then the goodbye, and closes when the peer has said its own.
  void finish();

  /// Closes the connection as it stands, silently.
  void break_off();

 private:
  using Self = std::shared_ptr<ExchangeLink>;

  // Coroutines keep their arguments, so `self` keeps the link alive.
  static asio::awaitable<void> read_all(Self self);
  static asio::awaitable<void> write_all(Self self, std::string greeting);
  asio::awaitable<void> read_frames();
  asio::awaitable<void> write_frames();
  asio::awaitable<void> write_frame(Frame frame);

  void fail(const Error& error);
  void close_if_done();

  const int worker_;
  const int peer_;
  const std::string address_;
  const Seconds timeout_;
  const ExpectedSnapshots expected_;
  ExchangeEvents& events_;
  ExchangeOutbox outbox_;
  tcp::socket socket_;
  asio::steady_timer work_;  // never expires: cancelling it wakes the writer
  bool has_started_ = false;
  bool is_reading_ = false;
  bool is_writing_ = false;
  bool is_finishing_ = false;
};

}  // namespace lamina
