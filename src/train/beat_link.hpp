#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lamina/comm/exchange.hpp"
#include "lamina/comm/transport.hpp"
#include "lamina/train/run_plan.hpp"
#include "train/beat_numbers.hpp"

namespace lamina {

/// A worker process, as others name it.
struct WorkerName {
  std::string host;
  int pid = 0;
};

/// What is called on the link's own thread.
struct BeatEvents {
  std::function<void(int worker, const WorkerBeat&)> beat;
  std::function<void(const Sentence&)> sentence;
  std::function<void(int worker)> gone;  ///< its connection has broken
};

/// Beats between worker 0 and each other process of a run, and worker 0's last sentence to them: parts of an
/// exchange of its own, each one small tensor of numbers, of which the newest wins. So they have the
/// handshake, the token and the bounds of snapshots (lamina/comm/exchange.hpp).
///
/// Threads  send() from any, and it never waits.
class BeatLink {
 public:
  /// Collective: connects everybody with worker 0. Others are told to call `public_address(own)`, if that is
  /// set. Before it returns nothing is called back that needs names().
  BeatLink(const RunPlan& plan, Transport& transport, Seconds limit,
           const std::function<std::string(const std::string&)>& public_address, BeatEvents events);

  const std::vector<WorkerName>& names() const { return names_; }

  /// To worker 0; at worker 0 to all.
  void send(const WorkerBeat& beat);
  /// Worker 0's, to all.
  void send(const Sentence& sentence);

  /// Leaves the others without their taking it for a loss.
  void finish(Seconds limit) { exchange_->finish(limit); }

 private:
  void send(const std::string& name, const BeatNumbers& numbers);
  void received(const Snapshot& snapshot) const;
  std::vector<ExchangePeer> peers(const std::vector<std::string>& addresses) const;

  const int worker_;
  const BeatEvents events_;
  std::vector<WorkerName> names_;
  std::atomic<std::int64_t> version_ = 0;
  std::unique_ptr<Exchange> exchange_;
};

}  // namespace lamina
