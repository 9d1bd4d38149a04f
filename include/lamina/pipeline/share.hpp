#pragma once

#include <cstdint>

#include "lamina/pipeline/packet.hpp"

namespace lamina {

/// One of several replicas.
struct Replica {
  int index = 0;
  int of = 1;
  friend bool operator==(const Replica&, const Replica&) = default;
};

/// A run of a batch's samples.
struct Share {
  std::int64_t first = 0;
  std::int64_t end = 0;
  std::int64_t count() const { return end - first; }
};

/// The samples of a batch that a replica computes: as even as can be, in the replicas' order.
Share share_of(std::int64_t samples, const Replica& replica);

/// What of a batch both replicas compute; empty where they have nothing in common.
Share common_share(std::int64_t samples, const Replica& a, const Replica& b);

/// True if two replicas of neighbouring stages have samples in common in some batch.
bool may_share(const Replica& a, const Replica& b);

/// The piece of a replica's packet that goes on to a replica of the next stage. Of all the pieces of a packet
/// one takes the reports and notes along, so that each counts once.
Packet piece_of(const Packet& packet, const Replica& from, const Replica& to, bool with_reports);

/// The micro-batch `index` of those that a worker's packet is cut into, by samples as for replicas; without
/// its reports.
Packet micro_batch(const Packet& packet, int index, int of);

/// Puts a further micro-batch behind those in hand, as join() does; but of times the sum.
void join_micro_batch(Packet& packet, Packet micro);

/// Puts a further piece of the same batch behind the one in hand: samples side by side, losses and counts
/// added, of times, ages and memory the largest. @throws Error{contract} for a piece of another packet.
void join(Packet& packet, Packet piece);

}  // namespace lamina
