#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "comm/slow_link.hpp"
#include "lamina/comm/exchange.hpp"

namespace lamina {

inline const std::string kToken = "00112233445566778899aabbccddeeff";
constexpr Seconds kLong{60};

using SnapshotPtr = std::shared_ptr<const Snapshot>;

inline SnapshotPtr snapshot_of(const std::string& part, std::int64_t version,
                               std::vector<at::Tensor> tensors) {
  return std::make_shared<const Snapshot>(
      Snapshot{.part = part, .version = version, .tensors = std::move(tensors)});
}

/// What an exchange has told its owner so far, and waiting for it.
class Told {
 public:
  void received(SnapshotPtr snapshot) {
    const std::lock_guard lock(mutex_);
    snapshots_.push_back(std::move(snapshot));
    changed_.notify_all();
  }
  void failed(int peer, const Error& error) {
    const std::lock_guard lock(mutex_);
    failures_.push_back(error);
    lost_ = peer;
    changed_.notify_all();
  }

  /// Waits until so many have come, and returns all that have; fails the test if they do not come.
  std::vector<SnapshotPtr> snapshots(std::size_t at_least = 0) {
    const auto held = wait_for([&] { return snapshots_.size() >= at_least; });
    return snapshots_;
  }
  /// Waits until this version, or a newer one, has come.
  std::vector<SnapshotPtr> snapshots_up_to(std::int64_t version) {
    const auto held = wait_for([&] { return !snapshots_.empty() && snapshots_.back()->version >= version; });
    return snapshots_;
  }
  /// Whom the last failure was of.
  int lost() {
    const std::lock_guard lock(mutex_);
    return lost_;
  }
  std::vector<Error> failures(std::size_t at_least = 0) {
    const auto held = wait_for([&] { return failures_.size() >= at_least; });
    num_known_failures_ = failures_.size();
    return failures_;
  }

 private:
  // After a failure that the test does not know of, nothing more may come.
  std::unique_lock<std::mutex> wait_for(const std::function<bool()>& is_enough) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kLong, [&] { return is_enough() || failures_.size() > num_known_failures_; });
    EXPECT_TRUE(is_enough()) << (failures_.empty() ? "it has not come" : failures_.back().what());
    return lock;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<SnapshotPtr> snapshots_;
  std::vector<Error> failures_;
  int lost_ = -1;
  std::size_t num_known_failures_ = 0;
};

/// One worker's exchange on the loopback interface, and what it told.
struct TestPeer {
  explicit TestPeer(int worker) : TestPeer(ExchangeOptions{.worker = worker}) {}
  explicit TestPeer(ExchangeOptions options) : number(options.worker) {
    options.interface = "127.0.0.1";
    if (options.token.empty()) options.token = kToken;
    exchange = make_exchange(
        options, [this](SnapshotPtr snapshot) { told.received(std::move(snapshot)); },
        [this](int peer, const Error& error) { told.failed(peer, error); });
  }

  /// This worker as another one names it.
  ExchangePeer named(std::vector<SnapshotShape> receives = {}) const {
    return {.worker = number, .address = exchange->address(), .receives = std::move(receives)};
  }

  int number;
  Told told;
  std::unique_ptr<Exchange> exchange;
};

/// Connects at the same time what can only be connected at the same time.
inline std::future<void> connecting(TestPeer& peer, std::vector<ExchangePeer> peers) {
  return std::async(std::launch::async,
                    [&peer, peers = std::move(peers)] { peer.exchange->connect(peers, kLong); });
}

/// Worker 1 owns the parts that worker 0 reads.
inline void connect_owner(TestPeer& owner, TestPeer& reader, const std::vector<SnapshotShape>& shapes) {
  auto reading = connecting(reader, {owner.named(shapes)});
  owner.exchange->connect({reader.named()}, kLong);
  reading.get();
}

/// Says goodbye on both sides.
inline void part(TestPeer& one, TestPeer& other) {
  auto ending = std::async(std::launch::async, [&] { one.exchange->finish(kLong); });
  other.exchange->finish(kLong);
  ending.get();
}

inline std::vector<std::int64_t> versions(const std::vector<SnapshotPtr>& snapshots) {
  std::vector<std::int64_t> found;
  for (const SnapshotPtr& each : snapshots) found.push_back(each->version);
  return found;
}

/// A part so large that the buffers between two sockets hold only a few of its versions.
inline const at::Tensor kLargeTensor = at::rand({256 * 1024});
inline const std::vector<SnapshotShape> kLarge{snapshot_shape("large", {kLargeTensor})};
inline SnapshotPtr large(std::int64_t version) {
  return snapshot_of("large", version, {kLargeTensor});
}

inline const std::vector<SnapshotShape> kSmall{snapshot_shape("small", {at::zeros({4})})};
inline SnapshotPtr small(std::int64_t version) {
  return snapshot_of("small", version, {at::full({4}, static_cast<double>(version), at::kFloat)});
}

/// Worker 1 owns, worker 0 reads, and a link that can be stalled lies between.
struct SlowPair {
  SlowPair(bool newest_wins, std::size_t depth, const std::vector<SnapshotShape>& shapes)
      : reader(0), owner(ExchangeOptions{.worker = 1, .newest_wins = newest_wins, .depth = depth}) {
    auto reading = connecting(reader, {owner.named(shapes)});
    owner.exchange->connect({{.worker = 0, .address = link.address(), .receives = {}}}, kLong);
    reading.get();
  }
  TestPeer reader;
  TestPeer owner;
  SlowLink link{reader.exchange->address()};
};

}  // namespace lamina
