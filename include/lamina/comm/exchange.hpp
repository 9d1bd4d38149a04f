#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lamina/comm/snapshot.hpp"
#include "lamina/core/clock.hpp"
#include "lamina/core/error.hpp"

namespace lamina {

struct ExchangeOptions {
  int worker = 0;
  /// A secret of the run, the same for all its workers (lamina/comm/token.hpp): at least 16 random bytes in
  /// hexadecimal.
  std::string token{};
  /// Of each part at most one snapshot waits to be sent to a worker, and a newer one replaces it. Otherwise
  /// nothing is dropped.
  bool newest_wins = false;
  /// Snapshots of a part that may wait to be sent to a worker, where nothing is dropped.
  std::size_t depth = 1;
  /// A peer that has taken nothing for so long is lost. A stranger must prove who it is within this time, and
  /// within 10 s.
  Seconds timeout{60};
  /// Where to listen: the name of an interface, a network (10.1.0.0/16) or an address of this host. "auto":
  /// what this host's name resolves to, or its first interface where that is only a loopback address.
  /// "127.0.0.1" where all workers share this host.
  std::string interface = "auto";
  /// Snapshots that arrive lie in memory that a GPU copies from by itself; needs a GPU.
  bool pinned = false;
};

/// A worker that snapshots are exchanged with.
struct ExchangePeer {
  int worker;
  std::string address;                  ///< its Exchange::address()
  std::vector<SnapshotShape> receives;  ///< the parts whose snapshots this worker receives from that one
};

/// Called on the exchange's thread with a snapshot that has arrived whole. Its tensors are new, have the
/// strides of the peer's SnapshotShape, and ATen's alignment of 64 bytes. An exception fails the connection.
using SnapshotReceived = std::function<void(std::shared_ptr<const Snapshot>)>;

/// Called on the exchange's thread, at most once a peer, with its number: the run cannot go on.
/// Error{peer_lost} if the connection broke, Error{contract} if something else came than a snapshot of an
/// expected part and shape.
using SnapshotsFailed = std::function<void(int peer, const Error&)>;

/// Carries snapshots between worker processes over TCP, from a thread of its own.
///
/// Order     snapshots of a part arrive in the order in which they were sent, bit for bit.
/// Memory    nothing is copied but by the kernel; a snapshot is held until it has been written. What arrives
///           is bounded and checked before memory is set aside for it.
/// Threads   send() and the counters from any thread, connect() and finish() from one; never wait for this
///           object in a callback.
/// Security  both ends of a connection prove that they know the run's token, by an HMAC over numbers used
/// once;
///           the token itself does not travel. Who cannot is turned away, of each kind the first with a line
///           in the log and the others counted; strangers hold a bounded number of connections. Nothing is
///           encrypted, and what travels later is not signed: who can alter the traffic is not kept out.
/// Failure   the destructor breaks off all connections, which the peers take for a loss; finish() before it.
class Exchange {
 public:
  virtual ~Exchange() = default;

  /// "host:port", where it has been listening since it was made.
  virtual std::string address() const = 0;

  /// Waits until connections to all these workers stand; to be called once, before send(). Of two workers the
  /// one with the higher number calls the other; a worker need not name peers that it neither sends to nor
  /// receives from, but both of a pair must name each other. No newcomer is listened to afterwards.
  /// @throws Error{timeout} after `limit`, naming who is missing; Error{device} if there is no way to a
  /// worker's address; Error{peer_lost} if a worker turns this one away.
  virtual void connect(const std::vector<ExchangePeer>& peers, Seconds limit) = 0;

  /// Puts a snapshot in line for a worker; never waits. Dropped silently once that worker has finished or is
  /// lost, of which the callback has told.
  /// @throws Error{contract} if this worker was not connected, the snapshot cannot be sent, or more than
  /// `depth` of its part would wait.
  virtual void send(int to_worker, std::shared_ptr<const Snapshot> snapshot) = 0;

  /// Leaves all peers with a goodbye. What is being written is completed; of what waits, it drops everything
  /// if the newest wins, else it sends everything. Peers may go on among themselves, and whatever they have
  /// in line for this worker is dropped. No callback is called any more once this has returned. A peer that
  /// has not answered after `limit` is named in the log.
  virtual void finish(Seconds limit) = 0;

  virtual std::int64_t bytes_sent() const = 0;
  virtual std::int64_t bytes_received() const = 0;
};

/// @throws Error{contract} if the token is too short; Error{device} if the host cannot listen there.
std::unique_ptr<Exchange> make_exchange(ExchangeOptions options, SnapshotReceived received,
                                        SnapshotsFailed failed);

}  // namespace lamina
