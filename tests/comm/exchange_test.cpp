#include "lamina/comm/exchange.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string_view>

#include "comm/exchange_peers.hpp"
#include "comm/expect_error.hpp"

namespace lamina {
namespace {

// Every kind of tensor that a part may hold; all bits of the floats are random, NaNs among them.
std::vector<at::Tensor> all_kinds() {
  const auto random_floats = [](at::IntArrayRef sizes) {
    return at::randint(std::numeric_limits<std::int32_t>::max(), sizes, at::kInt).view(at::kFloat);
  };
  const auto channels_last = at::MemoryFormat::ChannelsLast;
  return {random_floats({8, 3, 5, 5}).contiguous(channels_last),
          random_floats({16, 1, 3, 3}).contiguous(channels_last),
          random_floats({4, 6, 2}).permute({2, 0, 1}),
          random_floats({7}),
          at::rand({3, 4}, at::kDouble),
          at::tensor(std::int64_t{42}),
          at::empty({0, 4}),
          at::rand({5}).to(at::kBFloat16)};
}

void expect_same_bits(const at::Tensor& found, const at::Tensor& expected) {
  EXPECT_EQ(found.scalar_type(), expected.scalar_type());
  EXPECT_EQ(found.sizes(), expected.sizes());
  EXPECT_EQ(found.strides(), expected.strides());
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(found.const_data_ptr()) % 64, 0u);
  const auto bytes_of = [](const at::Tensor& tensor) {
    return std::string_view(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes());
  };
  EXPECT_TRUE(bytes_of(found) == bytes_of(expected));
}

TEST(Exchange, CarriesEveryTensorBitForBitWithItsStridesAndInOrder) {
  TestPeer reader(0);
  TestPeer owner(ExchangeOptions{.worker = 1, .depth = 100});
  const std::vector<at::Tensor> like = all_kinds();
  connect_owner(owner, reader, {snapshot_shape("a", like), snapshot_shape("b", like)});
  std::vector<SnapshotPtr> sent;
  for (std::int64_t version = 0; version < 20; ++version) {
    for (const char* part : {"a", "b"}) {
      sent.push_back(snapshot_of(part, version, all_kinds()));
      owner.exchange->send(0, sent.back());
    }
  }
  const std::vector<SnapshotPtr> received = reader.told.snapshots(sent.size());
  ASSERT_EQ(received.size(), sent.size());
  for (std::size_t i = 0; i < sent.size(); ++i) {
    EXPECT_EQ(received[i]->part, sent[i]->part);
    EXPECT_EQ(received[i]->version, sent[i]->version);
    ASSERT_EQ(received[i]->tensors.size(), sent[i]->tensors.size());
    for (std::size_t t = 0; t < like.size(); ++t) {
      expect_same_bits(received[i]->tensors[t], sent[i]->tensors[t]);
    }
  }
  part(owner, reader);
  EXPECT_EQ(owner.exchange->bytes_sent(), reader.exchange->bytes_received());
  EXPECT_EQ(reader.exchange->bytes_sent(), owner.exchange->bytes_received());
}

TEST(Exchange, ConnectsThreeWorkersInAllDirections) {
  TestPeer peers[] = {TestPeer(0), TestPeer(1), TestPeer(2)};
  std::vector<std::future<void>> all;
  for (TestPeer& peer : peers) {
    std::vector<ExchangePeer> others;
    for (const TestPeer& other : peers) {
      if (&other != &peer) {
        others.push_back(other.named({snapshot_shape(std::to_string(other.number), {at::zeros({4})})}));
      }
    }
    all.push_back(connecting(peer, others));
  }
  for (auto& each : all) each.get();
  for (TestPeer& peer : peers) {
    for (const TestPeer& other : peers) {
      if (&other == &peer) continue;
      const SnapshotPtr mine =
          snapshot_of(std::to_string(peer.number), 10 * peer.number + other.number, {at::zeros({4})});
      peer.exchange->send(other.number, mine);
    }
  }
  for (TestPeer& peer : peers) {
    std::vector<std::int64_t> expected;
    for (const TestPeer& other : peers) {
      if (&other != &peer) expected.push_back(10 * other.number + peer.number);
    }
    EXPECT_THAT(versions(peer.told.snapshots(2)), testing::UnorderedElementsAreArray(expected));
  }
}

TEST(Exchange, HoldsNoSnapshotOnceItIsWritten) {
  TestPeer reader(0);
  TestPeer owner(1);
  connect_owner(owner, reader, kSmall);
  SnapshotPtr sent = small(0);
  const std::weak_ptr<const Snapshot> watched = sent;
  owner.exchange->send(0, std::exchange(sent, nullptr));
  reader.told.snapshots(1);
  part(owner, reader);
  EXPECT_TRUE(watched.expired());
}

TEST(Exchange, TheNewestWinsWhileTheLinkIsStalled) {
  constexpr std::int64_t kVersions = 100;
  SlowPair pair(true, 1, kLarge);
  pair.link.stall();
  for (std::int64_t version = 0; version < kVersions; ++version) pair.owner.exchange->send(0, large(version));
  pair.link.resume();
  const auto received = versions(pair.reader.told.snapshots_up_to(kVersions - 1));
  EXPECT_EQ(received.back(), kVersions - 1);
  EXPECT_TRUE(std::is_sorted(received.begin(), received.end()));
  // What the sockets on the way took, and the newest.
  EXPECT_LT(received.size(), 20u);
  pair.owner.exchange->send(0, large(kVersions));
  EXPECT_EQ(pair.reader.told.snapshots_up_to(kVersions).back()->version, kVersions);
}

TEST(Exchange, NothingIsLostOverAStallingLink) {
  constexpr std::int64_t kVersions = 12;
  SlowPair pair(false, kVersions, kLarge);
  std::vector<std::int64_t> sent;
  for (std::int64_t version = 0; version < kVersions; ++version) {
    if (version == 4) pair.link.stall();
    if (version == 8) pair.link.resume();
    pair.owner.exchange->send(0, large(version));
    sent.push_back(version);
  }
  EXPECT_EQ(versions(pair.reader.told.snapshots(kVersions)), sent);
}

TEST(Exchange, ASlowLinkKeepsToItsRate) {
  TestPeer reader(0);
  TestPeer owner(ExchangeOptions{.worker = 1, .depth = 2});
  const SlowLink link(reader.exchange->address(), 10e6);
  auto reading = connecting(reader, {owner.named(kLarge)});
  owner.exchange->connect({{.worker = 0, .address = link.address(), .receives = {}}}, kLong);
  reading.get();
  const Stopwatch watch;
  for (const std::int64_t version : {0, 1}) owner.exchange->send(0, large(version));
  EXPECT_EQ(versions(reader.told.snapshots(2)), (std::vector<std::int64_t>{0, 1}));
  // Less would mean that bytes went past the link; more is only a busy machine.
  EXPECT_GE(watch.elapsed_s(), static_cast<double>(reader.exchange->bytes_received()) / 10e6 - 0.01);
}

TEST(Exchange, RefusesToPileUpSnapshotsWithoutBound) {
  SlowPair pair(false, 2, kLarge);
  pair.link.stall();
  std::int64_t version = 0;
  expect_error(ErrorKind::contract, [&] {
    while (version < 1000) pair.owner.exchange->send(0, large(version++));
  });
  EXPECT_LT(version, 50);
}

TEST(Exchange, RefusesSnapshotsThatCannotTravel) {
  TestPeer reader(0);
  TestPeer owner(1);
  connect_owner(owner, reader, kSmall);
  const at::Tensor good = at::zeros({4, 4});
  const SnapshotPtr bad[] = {
      snapshot_of("", 0, {good}),
      snapshot_of("two\nlines", 0, {good}),
      snapshot_of("early", -1, {good}),
      snapshot_of("undefined", 0, {at::Tensor()}),
      snapshot_of("slice", 0, {good.slice(1, 0, 2)}),
      snapshot_of("expanded", 0, {good.expand({3, 4, 4})}),
      snapshot_of("attached", 0, {at::zeros({4}).requires_grad_()}),
      snapshot_of("large shape", 0, std::vector<at::Tensor>(4000, good)),
  };
  for (const SnapshotPtr& each : bad) {
    SCOPED_TRACE(each->part);
    expect_error(ErrorKind::contract, [&] { owner.exchange->send(0, each); });
  }
  expect_error(ErrorKind::contract, [&] { owner.exchange->send(7, small(0)); });
}

}  // namespace
}  // namespace lamina
