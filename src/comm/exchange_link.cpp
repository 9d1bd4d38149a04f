#include "comm/exchange_link.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <vector>

#include "lamina/core/error.hpp"

namespace lamina {

namespace {

// Losses show within the timeout, whether data are under way (user timeout) or not (keepalive), and no more
// is left to the kernel than keeps the link busy: what it holds can no longer be replaced by something newer.
void tune(tcp::socket& socket, Seconds timeout) {
  const int timeout_s = std::clamp(static_cast<int>(for_a_wait(timeout).count()), 2, 86400);
  constexpr int num_probes = 2;
  struct Option {
    int level;
    int name;
    int value;
  };
  const Option options[] = {
      {IPPROTO_TCP, TCP_NODELAY, 1},
      {SOL_SOCKET, SO_KEEPALIVE, 1},
      {IPPROTO_TCP, TCP_KEEPIDLE, (timeout_s + 1) / 2},
      {IPPROTO_TCP, TCP_KEEPINTVL, std::max(timeout_s / 2 / num_probes, 1)},
      {IPPROTO_TCP, TCP_KEEPCNT, num_probes},
      {IPPROTO_TCP, TCP_USER_TIMEOUT, timeout_s * 1000},
      {IPPROTO_TCP, TCP_NOTSENT_LOWAT, 128 * 1024},
  };
  for (const Option& option : options) {
    if (::setsockopt(socket.native_handle(), option.level, option.name, &option.value, sizeof(int)) != 0) {
      throw boost::system::system_error(errno, boost::system::system_category(), "setsockopt");
    }
  }
}

}  // namespace

ExchangeLink::ExchangeLink(asio::io_context& io, const ExchangeOptions& options, const ExchangePeer& peer,
                           ExchangeEvents& events)
    : worker_(options.worker),
      peer_(peer.worker),
      address_(peer.address),
      timeout_(options.timeout),
      expected_(fmt::format("worker {} receives from worker {}", worker_, peer_), peer.receives,
                options.pinned),
      events_(events),
      outbox_(options.newest_wins, options.depth),
      socket_(io),
      work_(io, asio::steady_timer::time_point::max()) {}

void ExchangeLink::start(tcp::socket socket, std::string greeting) {
  tune(socket, timeout_);
  socket_ = std::move(socket);
  has_started_ = is_reading_ = is_writing_ = true;
  asio::co_spawn(socket_.get_executor(), read_all(shared_from_this()), asio::detached);
  asio::co_spawn(socket_.get_executor(), write_all(shared_from_this(), std::move(greeting)), asio::detached);
}

void ExchangeLink::send(std::shared_ptr<const Snapshot> snapshot) {
  outbox_.put(snapshot_frame(std::move(snapshot)));
  asio::post(work_.get_executor(), [self = shared_from_this()] { self->work_.cancel(); });
}

void ExchangeLink::finish() {
  is_finishing_ = true;
  outbox_.close();
  work_.cancel();
}

void ExchangeLink::break_off() {
  finish();
  outbox_.drop();
  boost::system::error_code ignored;
  socket_.close(ignored);
}

void ExchangeLink::fail(const Error& error) {
  if (!is_finishing_) events_.failed(peer_, error);
  break_off();
}

void ExchangeLink::close_if_done() {
  if (is_open()) return;
  break_off();
  events_.closed();
}

asio::awaitable<void> ExchangeLink::read_all(Self self) {
  try {
    co_await self->read_frames();
    // The peer wants nothing any more and is to hear so soon, whatever this side has in line.
    self->outbox_.drop();
    self->finish();
  } catch (const boost::system::system_error& error) {
    self->fail(Error(ErrorKind::peer_lost,
                     fmt::format("worker {} lost the snapshot connection to worker {} at {}: {}",
                                 self->worker_, self->peer_, self->address_, error.code().message())));
  } catch (const Error& error) {
    self->fail(error);
  } catch (const std::exception& error) {
    self->fail(Error(ErrorKind::contract, fmt::format("worker {} failed on a snapshot from worker {}: {}",
                                                      self->worker_, self->peer_, as_error(error).what())));
  }
  self->is_reading_ = false;
  self->close_if_done();
}

asio::awaitable<void> ExchangeLink::read_frames() {
  while (true) {
    FrameHead head{};
    co_await asio::async_read(socket_, asio::buffer(&head, sizeof(head)), asio::use_awaitable);
    expected_.check_head(head);
    events_.bytes_received += static_cast<std::int64_t>(sizeof(head));
    if (head.kind == FrameKind::goodbye) co_return;

    std::string text(head.text_bytes, '\0');
    co_await asio::async_read(socket_, asio::buffer(text), asio::use_awaitable);
    const auto snapshot = std::make_shared<Snapshot>(expected_.make_room(head, text));
    std::vector<asio::mutable_buffer> buffers;
    for (const at::Tensor& tensor : snapshot->tensors) {
      buffers.emplace_back(tensor.mutable_data_ptr(), tensor.nbytes());
    }
    co_await asio::async_read(socket_, buffers, asio::use_awaitable);
    events_.bytes_received += static_cast<std::int64_t>(head.text_bytes + head.payload_bytes);
    if (!is_finishing_) events_.received(snapshot);
  }
}

asio::awaitable<void> ExchangeLink::write_all(Self self, std::string greeting) {
  try {
    co_await asio::async_write(self->socket_, asio::buffer(greeting), asio::use_awaitable);
    co_await self->write_frames();
    self->socket_.shutdown(tcp::socket::shutdown_send);
  } catch (const boost::system::system_error&) {
    // The reader judges: it meets the same breakage, but before it a goodbye that may have come.
  } catch (const std::exception& error) {
    self->fail(Error(ErrorKind::contract, fmt::format("worker {} failed to send a snapshot to worker {}: {}",
                                                      self->worker_, self->peer_, as_error(error).what())));
  }
  self->is_writing_ = false;
  self->close_if_done();
}

asio::awaitable<void> ExchangeLink::write_frames() {
  while (true) {
    std::optional<Frame> next = outbox_.take();
    if (next) {
      co_await write_frame(std::move(*next));
    } else if (is_finishing_) {
      break;
    } else {
      boost::system::error_code cancelled;
      co_await work_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
    }
  }
  const FrameHead goodbye = goodbye_head();
  co_await asio::async_write(socket_, asio::buffer(&goodbye, sizeof(goodbye)), asio::use_awaitable);
  events_.bytes_sent += static_cast<std::int64_t>(sizeof(goodbye));
}

asio::awaitable<void> ExchangeLink::write_frame(Frame frame) {
  std::vector<asio::const_buffer> buffers{asio::buffer(&frame.head, sizeof(frame.head)),
                                          asio::buffer(frame.text)};
  for (const at::Tensor& tensor : frame.snapshot->tensors) {
    buffers.emplace_back(tensor.const_data_ptr(), tensor.nbytes());
  }
  const std::size_t bytes = co_await asio::async_write(socket_, buffers, asio::use_awaitable);
  events_.bytes_sent += static_cast<std::int64_t>(bytes);
}

}  // namespace lamina
