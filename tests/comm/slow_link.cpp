#include "comm/slow_link.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <future>
#include <set>
#include <thread>

#include "comm/asio.hpp"
#include "comm/host_address.hpp"
#include "lamina/core/clock.hpp"

namespace lamina {

namespace {

constexpr int buffer_bytes = 32 * 1024;

// The two connections that one caller's bytes pass through.
struct Passage {
  tcp::socket caller;
  tcp::socket target;

  void cut() {
    boost::system::error_code ignored;
    caller.close(ignored);
    target.close(ignored);
  }
};
using PassagePtr = std::shared_ptr<Passage>;

}  // namespace

struct SlowLink::State {
  State(const std::string& target_address, std::optional<double> rate)
      : target(endpoint_of(target_address)), bytes_per_s(rate) {
    const tcp::endpoint here(asio::ip::make_address("127.0.0.1"), 0);
    acceptor.open(here.protocol());
    acceptor.set_option(asio::socket_base::receive_buffer_size(buffer_bytes));
    acceptor.bind(here);
    acceptor.listen();
    address = endpoint_text(acceptor.local_endpoint());
    asio::co_spawn(io, accept_all(), asio::detached);
    thread = std::thread([this] { io.run(); });
  }

  ~State() {
    on_io_thread([this] {
      stalled = false;
      resumed.cancel();
      acceptor.close();
      for (const PassagePtr& passage : passages) passage->cut();
    });
    thread.join();
  }

  template <class Action>
  void on_io_thread(Action action) {
    std::promise<void> done;
    asio::post(io, [&] {
      action();
      done.set_value();
    });
    done.get_future().get();
  }

  asio::awaitable<void> accept_all() {
    while (acceptor.is_open()) {
      boost::system::error_code closed;
      tcp::socket socket = co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, closed));
      if (closed) break;
      const auto passage = std::make_shared<Passage>(Passage{std::move(socket), tcp::socket(io)});
      passages.insert(passage);
      asio::co_spawn(io, join(passage), asio::detached);
    }
  }

  asio::awaitable<void> join(PassagePtr passage) {
    boost::system::error_code failed;
    passage->target.open(target.protocol());
    passage->target.set_option(asio::socket_base::send_buffer_size(buffer_bytes));
    passage->target.set_option(asio::socket_base::receive_buffer_size(buffer_bytes));
    co_await passage->target.async_connect(target, asio::redirect_error(asio::use_awaitable, failed));
    if (failed) {
      passage->cut();
      co_return;
    }
    passage->caller.set_option(tcp::no_delay(true));
    passage->target.set_option(tcp::no_delay(true));
    asio::co_spawn(io, pass(passage, passage->caller, passage->target), asio::detached);
    asio::co_spawn(io, pass(passage, passage->target, passage->caller), asio::detached);
  }

  // `passage` keeps both sockets alive.
  asio::awaitable<void> pass(PassagePtr passage, tcp::socket& from, tcp::socket& to) {
    std::array<char, 16 * 1024> chunk{};
    asio::steady_timer pace(io, Clock::now());
    boost::system::error_code failed;
    auto token = asio::redirect_error(asio::use_awaitable, failed);
    while (true) {
      const std::size_t bytes = co_await from.async_read_some(asio::buffer(chunk), token);
      if (failed) break;
      if (bytes_per_s) {
        const Seconds due(static_cast<double>(bytes) / *bytes_per_s);
        pace.expires_at(std::max(pace.expiry(), Clock::now()) +
                        std::chrono::duration_cast<Clock::duration>(due));
        co_await pace.async_wait(token);
      }
      while (stalled) co_await resumed.async_wait(token);
      co_await asio::async_write(to, asio::buffer(chunk, bytes), token);
      if (failed) break;
    }
    boost::system::error_code ignored;
    if (failed == asio::error::eof) {
      to.shutdown(tcp::socket::shutdown_send, ignored);
    } else {
      passage->cut();
    }
  }

  asio::io_context io{1};
  tcp::acceptor acceptor{io};
  tcp::endpoint target;
  std::optional<double> bytes_per_s;
  std::string address;
  std::set<PassagePtr> passages;
  asio::steady_timer resumed{io, asio::steady_timer::time_point::max()};
  bool stalled = false;
  std::thread thread;
};

SlowLink::SlowLink(const std::string& target, std::optional<double> bytes_per_s)
    : state_(std::make_unique<State>(target, bytes_per_s)) {}

SlowLink::~SlowLink() = default;

std::string SlowLink::address() const {
  return state_->address;
}

void SlowLink::stall() {
  state_->on_io_thread([this] { state_->stalled = true; });
}

void SlowLink::resume() {
  state_->on_io_thread([this] {
    state_->stalled = false;
    state_->resumed.cancel();
  });
}

std::string SlowLinks::before(const std::string& target) {
  const std::lock_guard lock(mutex_);
  links_.push_back(std::make_unique<SlowLink>(target, bytes_per_s_));
  return links_.back()->address();
}

void SlowLinks::stall() {
  const std::lock_guard lock(mutex_);
  for (const auto& link : links_) link->stall();
}

void SlowLinks::resume() {
  const std::lock_guard lock(mutex_);
  for (const auto& link : links_) link->resume();
}

}  // namespace lamina
