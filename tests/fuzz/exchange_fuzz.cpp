#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>

#include "comm/exchange_handshake.hpp"
#include "comm/exchange_link.hpp"
#include "comm/exchange_meeting.hpp"
#include "comm/host_address.hpp"
#include "fuzz/fuzz_target.hpp"

namespace lamina {
namespace {

const std::string token = "00112233445566778899aabbccddeeff";
constexpr const char* loopback = "127.0.0.1";

std::vector<SnapshotShape> expected() {
  return {snapshot_shape("ema.layer1.0", {at::zeros({2, 3}), at::zeros({}, at::kLong)}),
          snapshot_shape("module.1", {at::zeros({1, 2, 2, 2}).contiguous(at::MemoryFormat::ChannelsLast)})};
}

/// Worker 0's end of a connection with worker 1, and what it has been told; all on this thread.
struct Listener {
  Listener() {
    events.received = [this](const auto&) { ++num_received; };
    events.failed = [this](int, const Error&) { ++num_failed; };
    events.closed = [] {};
    link = std::make_shared<ExchangeLink>(
        io, options, ExchangePeer{.worker = 1, .address = loopback, .receives = expected()}, events);
  }

  asio::io_context io{1};
  ExchangeOptions options{.worker = 0, .token = token, .interface = loopback};
  ExchangeEvents events;
  int num_received = 0, num_failed = 0;
  std::shared_ptr<ExchangeLink> link;
};

void say(tcp::socket& socket, std::string_view bytes) {
  boost::system::error_code hung_up;
  asio::write(socket, asio::buffer(bytes.data(), bytes.size()), hung_up);
}

// A kernel under load may fail to connect two of its own ports; that says nothing of what is tested.
void connect(tcp::socket& socket, const tcp::endpoint& there) {
  boost::system::error_code failed;
  for (int attempts = 0; attempts < 10; ++attempts) {
    socket.close(failed);
    if (!socket.connect(there, failed)) return;
  }
  fmt::print(stderr, "cannot connect to {}: {}\n", endpoint_text(there), failed.message());
  std::abort();
}

// By a reset: an orderly end would keep the port for a minute, of so many connections.
void hang_up(tcp::socket& socket) {
  socket.set_option(tcp::socket::linger(true, 0));
  socket.close();
}

// A proof that the caller of this hello knows the token, once there is a challenge to answer.
std::string proof_for(std::string_view said_hello, tcp::socket& socket) {
  Challenge challenge{};
  if (said_hello.size() < sizeof(Hello) || socket.available() < sizeof(challenge)) return "";
  asio::read(socket, asio::buffer(&challenge, sizeof(challenge)));
  Hello hello;
  std::memcpy(&hello, said_hello.data(), sizeof(hello));
  return bytes_of(proof_of(End::caller, hello, challenge.nonce, token));
}

}  // namespace

// What a caller says: a hello; 'p' for a proof, or one of its own; then messages.
bool fuzz_handshake(std::string_view said) {
  Listener listener;
  ExchangeMeeting meeting(listener.io, listener.options);
  meeting.begin({{1, listener.link}}, Seconds(60), std::promise<void>());
  tcp::socket caller(listener.io);
  connect(caller, endpoint_of(meeting.address()));
  const std::string_view hello = said.substr(0, sizeof(Hello));
  say(caller, hello);
  listener.io.poll();
  said.remove_prefix(hello.size());
  if (said.starts_with('p')) {
    say(caller, proof_for(hello, caller));
    said.remove_prefix(1);
  }
  say(caller, said);
  listener.io.poll();
  const bool admitted = listener.link->has_started();
  hang_up(caller);
  meeting.stop();
  listener.io.run();
  return admitted;
}

// What a peer says once it is known.
bool fuzz_snapshots(std::string_view said) {
  static asio::io_context ports;
  static tcp::acceptor acceptor(ports, {asio::ip::make_address(loopback), 0});
  Listener listener;
  tcp::socket peer(listener.io), heard(listener.io);
  connect(peer, acceptor.local_endpoint());
  acceptor.accept(heard);
  listener.link->start(std::move(heard), "");
  say(peer, said);
  listener.io.poll();
  const bool understood = listener.num_failed == 0;
  hang_up(peer);
  listener.link->finish();
  listener.io.run();
  return understood && listener.num_received > 0;
}

}  // namespace lamina
