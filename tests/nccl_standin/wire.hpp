#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace nccl_standin {

/// What two ranks tell each other. `offer` announces an operation when it is called, `ready` that a receive
/// runs, `taken` that a receive has the bytes of its send.
struct Frame {
  enum Kind : std::uint32_t { offer, ready, data, taken, bye };
  Kind kind;
  std::uint32_t way = 0;  ///< what follows describes an offer
  std::uint32_t type = 0;
  std::uint64_t count = 0;
  std::int64_t group = 0;
  std::uint64_t num_bytes = 0;  ///< of the payload behind this frame
};

/// Called on the wire's thread.
class WireEvents {
 public:
  virtual ~WireEvents() = default;
  virtual void connected() = 0;
  virtual void arrived(int peer, const Frame& frame, const std::string& payload) = 0;
  virtual void lost(int peer) = 0;
  virtual void woken() = 0;  ///< after wake(), and whenever else the thread has been awake
};

/// Connections from a rank to all others by Unix sockets, and the thread that serves them.
class Wire {
 public:
  /// Ranks meet under `name`; connected() tells when they have.
  Wire(const std::string& name, int num_ranks, int rank, WireEvents& events);
  ~Wire();

  /// Any thread; never waits.
  void send(int peer, Frame frame, const void* payload = nullptr);
  void wake();

  /// Closes all connections, whatever waits to be written. Not on the wire's thread.
  void close();

 private:
  struct Peer {
    int socket = -1;
    std::deque<std::string> out;  // guarded by mutex_
    std::size_t num_written = 0;  // of the first
    std::string in;
  };
  void run();
  bool meet();
  bool call(int peer);
  bool listen_for_higher_ranks(int listener);
  void serve();
  void write(Peer& peer);
  bool read(Peer& peer);
  void deliver(int rank);

  const std::string name_;
  const int rank_;
  WireEvents& events_;
  std::vector<Peer> peers_;
  int wake_ = -1;
  std::atomic<bool> closing_ = false;
  std::mutex mutex_;
  std::mutex close_mutex_;
  std::thread thread_;
};

}  // namespace nccl_standin
