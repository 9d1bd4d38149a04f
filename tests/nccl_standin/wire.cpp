#include "wire.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace nccl_standin {

namespace {

constexpr int patience_ms = 2;

// A name without a file: it goes with its socket.
struct Address {
  Address(const std::string& name, int rank) {
    const std::string text = name + "-" + std::to_string(rank);
    text.copy(address.sun_path + 1, sizeof(address.sun_path) - 1);
    size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + text.size());
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }

  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  socklen_t size;
};

}  // namespace

Wire::Wire(const std::string& name, int num_ranks, int rank, WireEvents& events)
    : name_(name),
      rank_(rank),
      events_(events),
      peers_(static_cast<std::size_t>(num_ranks)),
      wake_(eventfd(0, EFD_NONBLOCK)) {
  thread_ = std::thread([this] { run(); });
}

Wire::~Wire() {
  close();
  ::close(wake_);
}

void Wire::close() {
  const std::lock_guard once(close_mutex_);
  closing_ = true;
  wake();
  if (!thread_.joinable()) return;
  thread_.join();
  for (const Peer& peer : peers_)
    if (peer.socket >= 0) ::close(peer.socket);
}

void Wire::send(int peer, Frame frame, const void* payload) {
  std::string bytes(reinterpret_cast<const char*>(&frame), sizeof frame);
  if (payload) bytes.append(static_cast<const char*>(payload), frame.num_bytes);
  {
    const std::lock_guard lock(mutex_);
    peers_[static_cast<std::size_t>(peer)].out.push_back(std::move(bytes));
  }
  wake();
}

void Wire::wake() {
  eventfd_write(wake_, 1);
}

void Wire::run() {
  if (!meet()) return;
  events_.connected();
  serve();
}

bool Wire::meet() {
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  const Address address(name_, rank_);
  const bool met = bind(listener, address.get(), address.size) == 0 &&
                   listen(listener, static_cast<int>(peers_.size())) == 0 && [&] {
                     for (int peer = 0; peer < rank_; ++peer)
                       if (!call(peer)) return false;
                     return listen_for_higher_ranks(listener);
                   }();
  ::close(listener);
  return met;
}

bool Wire::call(int peer) {
  const Address address(name_, peer);
  const int found = socket(AF_UNIX, SOCK_STREAM, 0);
  while (connect(found, address.get(), address.size) != 0) {
    if (closing_) {
      ::close(found);
      return false;
    }
    poll(nullptr, 0, patience_ms);
  }
  peers_[static_cast<std::size_t>(peer)].socket = found;
  return ::send(found, &rank_, sizeof rank_, MSG_NOSIGNAL) == sizeof rank_;
}

bool Wire::listen_for_higher_ranks(int listener) {
  for (int missing = static_cast<int>(peers_.size()) - rank_ - 1; missing > 0;) {
    if (closing_) return false;
    pollfd waiting{.fd = listener, .events = POLLIN, .revents = 0};
    if (poll(&waiting, 1, patience_ms) != 1) continue;
    const int found = accept(listener, nullptr, nullptr);
    int peer = 0;
    if (recv(found, &peer, sizeof peer, MSG_WAITALL) != sizeof peer) return false;
    peers_[static_cast<std::size_t>(peer)].socket = found;
    --missing;
  }
  return true;
}

void Wire::serve() {
  while (!closing_) {
    events_.woken();
    std::vector<pollfd> waiting{{.fd = wake_, .events = POLLIN, .revents = 0}};
    for (Peer& peer : peers_) {
      const std::lock_guard lock(mutex_);
      const int events = peer.out.empty() ? POLLIN : POLLIN | POLLOUT;
      waiting.push_back({.fd = peer.socket, .events = static_cast<short>(events), .revents = 0});
    }
    poll(waiting.data(), waiting.size(), -1);
    eventfd_t count = 0;
    eventfd_read(wake_, &count);
    for (std::size_t rank = 0; rank < peers_.size(); ++rank) {
      Peer& peer = peers_[rank];
      if (peer.socket < 0) continue;
      write(peer);
      const bool open = read(peer);
      deliver(static_cast<int>(rank));
      if (open) continue;
      ::close(peer.socket);
      peer.socket = -1;
      events_.lost(static_cast<int>(rank));
    }
  }
}

void Wire::write(Peer& peer) {
  const std::lock_guard lock(mutex_);
  while (!peer.out.empty()) {
    const std::string& first = peer.out.front();
    const ssize_t written = ::send(peer.socket, first.data() + peer.num_written,
                                   first.size() - peer.num_written, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (written < 0) return;
    peer.num_written += static_cast<std::size_t>(written);
    if (peer.num_written < first.size()) continue;
    peer.out.pop_front();
    peer.num_written = 0;
  }
}

bool Wire::read(Peer& peer) {
  char bytes[1 << 16];
  while (true) {
    const ssize_t num_read = recv(peer.socket, bytes, sizeof bytes, MSG_DONTWAIT);
    if (num_read == 0) return false;
    if (num_read < 0) return errno == EAGAIN;
    peer.in.append(bytes, static_cast<std::size_t>(num_read));
  }
}

void Wire::deliver(int rank) {
  std::string& in = peers_[static_cast<std::size_t>(rank)].in;
  std::size_t begin = 0;
  while (in.size() - begin >= sizeof(Frame)) {
    Frame frame{};
    std::memcpy(&frame, in.data() + begin, sizeof frame);
    if (in.size() - begin - sizeof frame < frame.num_bytes) break;
    events_.arrived(rank, frame, in.substr(begin + sizeof frame, frame.num_bytes));
    begin += sizeof frame + frame.num_bytes;
  }
  in.erase(0, begin);
}

}  // namespace nccl_standin
