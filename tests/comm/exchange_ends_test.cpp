#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "comm/exchange_peers.hpp"
#include "comm/expect_error.hpp"
#include "comm/raw_peer.hpp"
#include "lamina/comm/exchange.hpp"

// How exchanges find each other, part, and lose each other.
namespace lamina {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(Exchange, FinishSendsWhatWaitsWhereNothingIsDropped) {
  SlowPair pair(false, 12, kLarge);
  pair.link.stall();
  for (std::int64_t version = 0; version < 12; ++version) pair.owner.exchange->send(0, large(version));
  auto ending = std::async(std::launch::async, [&] { pair.owner.exchange->finish(kLong); });
  pair.link.resume();
  ending.get();
  EXPECT_EQ(pair.reader.told.snapshots(12).size(), 12u);
  EXPECT_THAT(pair.reader.told.failures(), IsEmpty());
}

TEST(Exchange, FinishDropsWhatWaitsWhereTheNewestWins) {
  SlowPair pair(true, 1, {kLarge[0], kSmall[0]});
  pair.link.stall();
  for (std::int64_t version = 0; version < 100; ++version) pair.owner.exchange->send(0, large(version));
  auto ending = std::async(std::launch::async, [&] { pair.owner.exchange->finish(kLong); });
  pair.link.resume();
  ending.get();
  EXPECT_THAT(pair.reader.told.failures(), IsEmpty());
}

TEST(Exchange, PeersMayEndAtDifferentMomentsWithoutALoss) {
  TestPeer reader(0);
  TestPeer early(1);
  TestPeer late(2);
  auto reading = connecting(reader, {early.named(kSmall), late.named(kLarge)});
  auto second = connecting(early, {reader.named()});
  late.exchange->connect({reader.named()}, kLong);
  reading.get();
  second.get();
  early.exchange->finish(kLong);
  early.exchange.reset();
  reader.exchange->send(1, small(0));  // dropped: it has said goodbye
  late.exchange->send(0, large(0));
  EXPECT_THAT(versions(reader.told.snapshots(1)), ElementsAre(0));
  reader.exchange->finish(kLong);
  reader.exchange.reset();
  late.exchange->send(0, large(1));
  late.exchange->finish(kLong);
  for (TestPeer* peer : {&reader, &early, &late}) EXPECT_THAT(peer->told.failures(), IsEmpty());
}

TEST(Exchange, FinishHangsUpOnAPeerThatDoesNotAnswer) {
  SlowPair pair(false, 2, kLarge);
  pair.link.stall();
  pair.owner.exchange->send(0, large(0));
  pair.owner.exchange->send(0, large(1));
  testing::internal::CaptureStderr();
  pair.owner.exchange->finish(Seconds(0.05));
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("part from the workers 0"));
}

TEST(Exchange, APeerThatDiesIsNamed) {
  TestPeer reader(0);
  TestPeer owner(1);
  connect_owner(owner, reader, kSmall);
  owner.exchange->send(0, small(0));
  reader.told.snapshots(1);
  owner.exchange.reset();
  const std::vector<Error> failures = reader.told.failures(1);
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_EQ(failures[0].kind(), ErrorKind::peer_lost);
  EXPECT_THAT(failures[0].what(), HasSubstr("worker 1"));
  EXPECT_THAT(owner.told.failures(), IsEmpty());
  reader.exchange->send(1, small(1));  // of which the callback has told, so not an error here
  reader.exchange->finish(kLong);
}

TEST(Exchange, ConnectNamesWhoIsMissing) {
  TestPeer reader(0);
  TestPeer there(1);
  TestPeer absent(2);
  auto second = connecting(there, {reader.named()});
  try {
    reader.exchange->connect({there.named(kSmall), absent.named(kSmall)}, Seconds(0.3));
    FAIL() << "it did not time out";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::timeout);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("worker 2"), Not(HasSubstr("worker 1 at"))));
  }
  second.get();
}

TEST(Exchange, APeerThatCannotBeReachedIsAnErrorAtOnceThatSaysWhatToSet) {
  TestPeer owner(1);
  std::string address;
  {
    const TestPeer gone(0);
    address = gone.exchange->address();
  }
  try {
    owner.exchange->connect({{.worker = 0, .address = address, .receives = {}}}, kLong);
    FAIL() << "it was reached";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::device);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("worker 1"), HasSubstr("worker 0 at " + address),
                                    HasSubstr("refused"), HasSubstr("snapshots.interface")));
  }
}

TEST(Exchange, AnAddressThatSwallowsEverythingIsNamedByTheLimit) {
  TestPeer owner(1);
  const Silence silence;
  try {
    owner.exchange->connect({{.worker = 0, .address = silence.address(), .receives = {}}}, Seconds(0.3));
    FAIL() << "it was reached";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::timeout);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("worker 1"), HasSubstr("worker 0 at " + silence.address()),
                                    HasSubstr("snapshots.interface")));
  }
}

TEST(Exchange, WithNobodyToMeetConnectReturns) {
  TestPeer alone(0);
  alone.exchange->connect({}, Seconds(0));
  alone.exchange->finish(kLong);
  expect_error(ErrorKind::contract, [&] { alone.exchange->send(1, small(0)); });
}

TEST(Exchange, CanBeDroppedAtAnyMoment) {
  {
    const TestPeer never_connected(0);
  }
  SlowPair pair(false, 12, kLarge);
  pair.link.stall();
  for (std::int64_t version = 0; version < 12; ++version) pair.owner.exchange->send(0, large(version));
}

TEST(Exchange, ACallbacksErrorFailsTheRunAndSparesTheOtherPeers) {
  Told told;
  const auto reader = make_exchange(
      {.worker = 0, .token = kToken, .interface = "127.0.0.1"},
      [&](SnapshotPtr snapshot) {
        if (snapshot->part == "small") throw Error(ErrorKind::storage, "no room for it");
        told.received(std::move(snapshot));
      },
      [&](int peer, const Error& error) {
        told.failed(peer, error);
        throw std::runtime_error("and no room for that");
      });
  TestPeer first(1);
  TestPeer second(2);
  const ExchangePeer named{.worker = 0, .address = reader->address(), .receives = {}};
  auto connected_first = connecting(first, {named});
  auto connected_second = connecting(second, {named});
  reader->connect({first.named(kSmall), second.named(kLarge)}, kLong);
  connected_first.get();
  connected_second.get();
  testing::internal::CaptureStderr();
  first.exchange->send(0, small(0));
  const std::vector<Error> failures = told.failures(1);
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_EQ(failures[0].kind(), ErrorKind::storage);
  EXPECT_EQ(told.lost(), 1);
  second.exchange->send(0, large(3));
  EXPECT_THAT(versions(told.snapshots(1)), ElementsAre(3));
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("and no room for that"));
}

TEST(Exchange, RefusesOptionsAndPeersThatMakeNoSense) {
  expect_error(ErrorKind::contract, [] { make_exchange({.worker = 0, .token = "short"}, {}, {}); });
  expect_error(ErrorKind::contract,
               [] { make_exchange({.worker = 0, .token = kToken, .depth = 0}, {}, {}); });
  expect_error(ErrorKind::device, [] {
    make_exchange({.worker = 0, .token = kToken, .interface = "no-such-interface"}, {}, {});
  });
  TestPeer self(1);
  expect_error(ErrorKind::contract, [&] { self.exchange->connect({self.named()}, kLong); });
  TestPeer other(1);
  expect_error(ErrorKind::contract,
               [&] { other.exchange->connect({{0, "127.0.0.1:1", {kSmall[0], kSmall[0]}}}, kLong); });
}

}  // namespace
}  // namespace lamina
