#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include "comm/expect_error.hpp"
#include "comm/raw_peer.hpp"

// Who calls an exchange without belonging to the run, and what comes of it.
namespace lamina {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::string greeting_with(std::uint32_t protocol) {
  Hello hello = hello_of(1, 0);
  hello.greeting.protocol = protocol;
  return bytes_of(hello);
}

// Goes as far as a stranger can, and must learn no more than that it is turned away.
void introduce(RawPeer& stranger, const Hello& hello, const std::string& token) {
  EXPECT_EQ(bytes_of(stranger.introduce(hello, token)), std::string(sizeof(Verdict), '\0'));
}

struct Stranger {
  const char* name;
  std::function<void(RawPeer&)> calls;
  std::size_t hears;  // bytes, besides what `calls` has heard
  const char* log;    // what the one line in the log must hold
};

const Stranger strangers[] = {
    {"AnotherToken", [](RawPeer& it) { introduce(it, hello_of(1, 0), kToken + "0"); }, 0, "token"},
    {"NoProof",
     [](RawPeer& it) {
       it.say(bytes_of(hello_of(1, 0)) + std::string(sizeof(Proof), '\0'));
       it.hear<Challenge>();
       EXPECT_FALSE(it.hear<Verdict>().admitted);
     },
     0, "token"},
    {"AnotherWorkersCall", [](RawPeer& it) { introduce(it, hello_of(1, 2), kToken); }, 0,
     "looks for worker 2"},
    {"AnUnknownWorker", [](RawPeer& it) { introduce(it, hello_of(7, 0), kToken); }, 0,
     "worker 7 is not expected"},
    {"AWorkerThatIsToBeCalled", [](RawPeer& it) { introduce(it, hello_of(-1, 0), kToken); }, 0,
     "worker -1 is not expected"},
    {"AnotherProtocol", [](RawPeer& it) { it.say(greeting_with(3).substr(0, sizeof(Greeting))); },
     sizeof(Greeting), "expected protocol 2, found 3"},
    {"AnotherByteOrder", [](RawPeer& it) { it.say(greeting_with(2 << 24).substr(0, sizeof(Greeting))); },
     sizeof(Greeting), "expected protocol 2"},
    {"AnotherLanguage", [](RawPeer& it) { it.say("GET / HTTP/1.1\r\n" + std::string(200, 'x')); }, 0,
     "language"},
    {"OnlyZeros", [](RawPeer& it) { it.say(std::string(1000, '\0')); }, 0, "language"},
};

class ExchangeStrangers : public testing::TestWithParam<Stranger> {};

TEST_P(ExchangeStrangers, AreTurnedAwayWithOneLineAndDisturbNobody) {
  TestPeer reader(0);
  TestPeer owner(1);
  RawPeer stranger(reader.exchange->address());
  testing::internal::CaptureStderr();
  auto reading = connecting(reader, {owner.named(kSmall)});
  GetParam().calls(stranger);
  EXPECT_THAT(stranger.hear(), SizeIs(GetParam().hears));
  owner.exchange->connect({reader.named()}, kLong);
  reading.get();
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, AllOf(HasSubstr("turned away"), HasSubstr(GetParam().log)));
  EXPECT_THAT(log, Not(HasSubstr(kToken)));
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1);

  owner.exchange->send(0, small(5));
  EXPECT_THAT(reader.told.snapshots(1), SizeIs(1));
  part(owner, reader);
  EXPECT_THAT(reader.told.failures(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Exchange, ExchangeStrangers, testing::ValuesIn(strangers),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(Exchange, AStrangerThatSaysNothingIsHungUpOnAfterTheTimeout) {
  TestPeer reader(ExchangeOptions{.worker = 0, .timeout = Seconds(0.05)});
  TestPeer owner(1);
  RawPeer silent(reader.exchange->address());
  RawPeer hesitant(reader.exchange->address());
  hesitant.say(bytes_of(hello_of(1, 0)).substr(0, 50));
  RawPeer unproven(reader.exchange->address());
  unproven.say(bytes_of(hello_of(1, 0)) + std::string(sizeof(Proof) - 1, '\0'));
  auto reading = connecting(reader, {owner.named(kSmall)});
  EXPECT_THAT(silent.hear(), IsEmpty());
  EXPECT_THAT(hesitant.hear(), IsEmpty());
  EXPECT_THAT(unproven.hear(), SizeIs(sizeof(Challenge)));
  owner.exchange->connect({reader.named()}, kLong);
  reading.get();
}

TEST(Exchange, AHandshakeThatIsBrokenOffAnywhereIsCountedAndDisturbsNobody) {
  TestPeer reader(0);
  TestPeer owner(1);
  testing::internal::CaptureStderr();
  auto reading = connecting(reader, {owner.named(kSmall)});
  for (std::size_t size = 0; size < sizeof(Hello) + sizeof(Proof); ++size) {
    RawPeer stranger(reader.exchange->address());
    stranger.say((bytes_of(hello_of(1, 0)) + std::string(sizeof(Proof), '\0')).substr(0, size));
    stranger.fall_silent();
    EXPECT_THAT(stranger.hear(), SizeIs(size < sizeof(Hello) ? 0 : sizeof(Challenge)));
  }
  owner.exchange->connect({reader.named()}, kLong);
  reading.get();
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("worker 0 turned away 84 strangers in all: 84 broken off"));
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 2) << log;
}

TEST(Exchange, AnIdleCrowdHoldsABoundedNumberOfConnectionsAndKeepsNoPeerOut) {
  constexpr std::size_t kCrowd = 500;
  constexpr std::size_t kKept = 128 + 1;  // and a place for the peer that is expected
  TestPeer reader(0);
  TestPeer owner(1);
  asio::io_context io;
  std::vector<tcp::socket> crowd;
  for (std::size_t i = 0; i < kCrowd; ++i) {
    crowd.emplace_back(io).connect(endpoint_of(reader.exchange->address()));
    asio::write(crowd.back(), asio::buffer(bytes_of(hello_of(1, 0)), i % sizeof(Hello)));
  }
  testing::internal::CaptureStderr();
  auto reading = connecting(reader, {owner.named(kSmall)});
  for (std::size_t i = 0; i < kCrowd - kKept; ++i) {
    char heard = 0;
    boost::system::error_code hung_up;
    EXPECT_EQ(asio::read(crowd[i], asio::buffer(&heard, 1), hung_up), 0u);
  }
  owner.exchange->connect({reader.named()}, kLong);
  reading.get();
  const std::string log = testing::internal::GetCapturedStderr();
  const std::size_t crowded_out = kCrowd - kKept + 1;
  EXPECT_THAT(log, HasSubstr(fmt::format("turned away {0} strangers in all: {0} crowded out", crowded_out)));
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 2) << log;
  owner.exchange->send(0, small(5));
  EXPECT_THAT(reader.told.snapshots(1), SizeIs(1));
}

TEST(Exchange, ASecondCallByTheSameWorkerIsTurnedAway) {
  TestPeer reader(0);
  TestPeer awaited(2);
  auto reading = connecting(
      reader, {{.worker = 1, .address = "127.0.0.1:1", .receives = kSmall}, awaited.named(kLarge)});
  const Hello hello = hello_of(1, 0);
  RawPeer first(reader.exchange->address());
  EXPECT_TRUE(first.introduce(hello, kToken).admitted);
  RawPeer second(reader.exchange->address());
  EXPECT_FALSE(second.introduce(hello, kToken).admitted);
  EXPECT_THAT(second.hear(), IsEmpty());
  awaited.exchange->connect({reader.named()}, kLong);
  reading.get();
  first.say(bytes_of(snapshot_frame(small(1))));
  EXPECT_THAT(reader.told.snapshots(1), SizeIs(1));
}

TEST(Exchange, NobodyIsListenedToOnceAllStand) {
  TestPeer reader(0);
  TestPeer owner(1);
  const std::string address = reader.exchange->address();
  connect_owner(owner, reader, kSmall);
  EXPECT_THROW(RawPeer{address}, boost::system::system_error);
}

TEST(Exchange, AWorkerWithAnotherTokenLearnsThatItIsTurnedAway) {
  TestPeer reader(0);
  TestPeer intruder(ExchangeOptions{.worker = 1, .token = kToken + "0"});
  TestPeer owner(1);
  auto reading = connecting(reader, {owner.named(kSmall)});
  expect_error(ErrorKind::peer_lost, [&] { intruder.exchange->connect({reader.named()}, kLong); });
  owner.exchange->connect({reader.named()}, kLong);
  reading.get();
}

TEST(Exchange, ACalleeThatIsNoExchangeIsAnError) {
  asio::io_context io;
  tcp::acceptor acceptor(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  TestPeer owner(1);
  auto calling = std::async(std::launch::async, [&] {
    const ExchangePeer callee{
        .worker = 0, .address = endpoint_text(acceptor.local_endpoint()), .receives = {}};
    expect_error(ErrorKind::peer_lost, [&] { owner.exchange->connect({callee}, kLong); });
  });
  tcp::socket callee = acceptor.accept();
  asio::write(callee, asio::buffer("220 mail.example.org ESMTP" + std::string(100, '.')));
  calling.get();
}

TEST(Exchange, RandomBytesInAHandshakeDisturbNobody) {
  std::mt19937 random(7);
  TestPeer reader(0);
  TestPeer owner(1);
  auto reading = connecting(reader, {owner.named(kSmall)});
  testing::internal::CaptureStderr();
  for (int i = 0; i < 200; ++i) {
    RawPeer stranger(reader.exchange->address());
    const Hello hello = hello_of(1, 0);
    // What is flipped in the hello on its way is not what the proof is of.
    std::string said = bytes_of(hello);
    if (i % 2 == 0) said[random() % said.size()] ^= static_cast<char>(1 + random() % 255);
    stranger.say(said);
    const Challenge challenge = stranger.hear<Challenge>();
    std::string proof = bytes_of(proof_of(End::caller, hello, challenge.nonce, kToken));
    if (i % 2 == 1) proof[random() % proof.size()] ^= static_cast<char>(1 + random() % 255);
    stranger.say(proof);
    EXPECT_FALSE(stranger.hear<Verdict>().admitted);
  }
  testing::internal::GetCapturedStderr();
  owner.exchange->connect({reader.named()}, kLong);
  reading.get();
}

TEST(Exchange, AFloodOfRandomBytesDisturbsNeitherTheMeetingNorWhatFollows) {
  TestPeer reader(0);
  TestPeer owner(ExchangeOptions{.worker = 1, .depth = 20});
  std::atomic<int> num_calls = 0;
  testing::internal::CaptureStderr();
  std::jthread flood([&, to = endpoint_of(reader.exchange->address())](const std::stop_token& stop) {
    std::mt19937 random(3);
    std::string bytes(4096, '\0');
    asio::io_context io;
    while (!stop.stop_requested()) {
      std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<char>(random()); });
      tcp::socket socket(io);
      boost::system::error_code failed;
      socket.connect(to, failed);
      if (!failed) asio::write(socket, asio::buffer(bytes), failed);
      ++num_calls;
    }
  });
  auto reading = connecting(reader, {owner.named(kSmall)});
  while (num_calls < 200) std::this_thread::yield();
  owner.exchange->connect({reader.named()}, kLong);
  reading.get();
  for (std::int64_t version = 0; version < 20; ++version) owner.exchange->send(0, small(version));
  EXPECT_THAT(reader.told.snapshots(20), SizeIs(20));
  part(owner, reader);
  const std::string log = testing::internal::GetCapturedStderr();
  // Of each kind of refusal a line, and their sum; a caller may be met while it speaks or while it hangs up.
  EXPECT_LE(std::count(log.begin(), log.end(), '\n'), 4) << log;
  EXPECT_THAT(log, HasSubstr("of another language"));
  EXPECT_THAT(reader.told.failures(), IsEmpty());
}

}  // namespace
}  // namespace lamina
