#pragma once

#include <cstring>
#include <string>

#include "comm/asio.hpp"
#include "comm/exchange_frame.hpp"
#include "comm/exchange_handshake.hpp"
#include "comm/exchange_peers.hpp"
#include "comm/host_address.hpp"

namespace lamina {

inline Hello hello_of(int caller, int callee) {
  return {.greeting = greeting(), .caller = caller, .callee = callee, .nonce = fresh_nonce()};
}

/// A whole frame as it goes over the wire.
inline std::string bytes_of(const Frame& frame) {
  std::string bytes = bytes_of(frame.head) + frame.text;
  for (const at::Tensor& tensor : frame.snapshot->tensors) {
    bytes.append(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes());
  }
  return bytes;
}

/// A plain socket that says whatever a test wants said to an exchange.
class RawPeer {
 public:
  explicit RawPeer(const std::string& address) { socket_.connect(endpoint_of(address)); }

  /// Whoever calls next.
  explicit RawPeer(tcp::acceptor& acceptor) { acceptor.accept(socket_); }

  /// Whoever listens may have hung up already, which is no failure of the test.
  void say(const std::string& bytes) {
    boost::system::error_code hung_up;
    asio::write(socket_, asio::buffer(bytes), hung_up);
  }

  /// Everything that is said until the other side hangs up, or at most so many bytes.
  std::string hear(std::size_t at_most = 1 << 20) {
    std::string heard(at_most, '\0');
    boost::system::error_code hung_up;
    heard.resize(asio::read(socket_, asio::buffer(heard), hung_up));
    return heard;
  }

  /// One message; zeros if it does not come.
  template <class Message>
  Message hear() {
    Message message{};
    const std::string heard = hear(sizeof(message));
    if (heard.size() == sizeof(message)) std::memcpy(&message, heard.data(), sizeof(message));
    return message;
  }

  /// A caller's whole handshake.
  Verdict introduce(const Hello& hello, const std::string& token) {
    say(bytes_of(hello));
    const Challenge challenge = hear<Challenge>();
    say(bytes_of(proof_of(End::caller, hello, challenge.nonce, token)));
    return hear<Verdict>();
  }

  /// Says nothing more, but still listens.
  void fall_silent() {
    boost::system::error_code hung_up;
    socket_.shutdown(tcp::socket::shutdown_send, hung_up);
  }

  void hang_up() { socket_.close(); }

 private:
  asio::io_context io_;
  tcp::socket socket_{io_};
};

/// An address that swallows what is sent there, as one does that no route leads to: its queue of callers is
/// full, so the system drops further ones.
class Silence {
 public:
  Silence() {
    acceptor_.open(tcp::v4());
    acceptor_.bind({asio::ip::address_v4::loopback(), 0});
    acceptor_.listen(0);
    const tcp::endpoint here = acceptor_.local_endpoint();
    first_.connect(here);  // takes the queue's one place
  }
  std::string address() const { return endpoint_text(acceptor_.local_endpoint()); }

 private:
  asio::io_context io_;
  tcp::acceptor acceptor_{io_};
  tcp::socket first_{io_};
};

/// Worker 0 with a plain socket as its peer, worker 1.
struct RawPair {
  explicit RawPair(const std::vector<SnapshotShape>& shapes) : reader(0), owner(reader.exchange->address()) {
    auto reading = connecting(reader, {{.worker = 1, .address = "127.0.0.1:1", .receives = shapes}});
    EXPECT_TRUE(owner.introduce(hello_of(1, 0), kToken).admitted);
    reading.get();
  }
  TestPeer reader;
  RawPeer owner;
};

}  // namespace lamina
