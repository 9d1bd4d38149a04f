#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "comm/expect_error.hpp"
#include "comm/raw_peer.hpp"

// Who calls an exchange without belonging to the run, and what comes of it.
namespace lamina {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::string hello_with(const std::function<void(Hello&)>& change) {
  Hello hello = make_hello(1, 0, kToken);
  change(hello);
  return bytes_of(hello);
}

struct Stranger {
  const char* name;
  std::string says;
  const char* log;  // what the one line in the log must hold
};

const Stranger strangers[] = {
    {"AnotherToken", bytes_of(make_hello(1, 0, kToken + "0")), "token"},
    {"AnotherWorkersCall", bytes_of(make_hello(1, 2, kToken)), "looks for worker 2"},
    {"AnUnknownWorker", bytes_of(make_hello(7, 0, kToken)), "worker 7 is not expected"},
    {"AWorkerThatIsToBeCalled", bytes_of(make_hello(-1, 0, kToken)), "worker -1 is not expected"},
    {"AnotherProtocol", hello_with([](Hello& hello) { hello.protocol = 2; }), "expected protocol 1, found 2"},
    {"AnotherByteOrder", hello_with([](Hello& hello) { hello.protocol = 1 << 24; }), "expected protocol 1"},
    {"AnotherLanguage", "GET / HTTP/1.1\r\n" + std::string(200, 'x'), "language"},
    {"OnlyZeros", std::string(1000, '\0'), "language"},
};

class ExchangeStrangers : public testing::TestWithParam<Stranger> {};

TEST_P(ExchangeStrangers, AreTurnedAwayWithOneLineAndDisturbNobody) {
  TestPeer reader(0);
  TestPeer owner(1);
  RawPeer stranger(reader.exchange->address());
  stranger.say(GetParam().says);
  testing::internal::CaptureStderr();
  auto reading = connecting(reader, {owner.named(kSmall)});
  EXPECT_THAT(stranger.hear(), IsEmpty()) << "a stranger must learn nothing";
  owner.exchange->connect({reader.named()}, kLong);
  reading.get();
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, AllOf(HasSubstr("turned away"), HasSubstr(GetParam().log)));
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
  hesitant.say(bytes_of(make_hello(1, 0, kToken)).substr(0, 50));
  auto reading = connecting(reader, {owner.named(kSmall)});
  EXPECT_THAT(silent.hear(), IsEmpty());
  EXPECT_THAT(hesitant.hear(), IsEmpty());
  owner.exchange->connect({reader.named()}, kLong);
  reading.get();
}

TEST(Exchange, ManySilentStrangersDoNotKeepAPeerOut) {
  TestPeer reader(ExchangeOptions{.worker = 0, .timeout = Seconds(0.05)});
  TestPeer owner(1);
  std::vector<std::unique_ptr<RawPeer>> crowd;
  for (int i = 0; i < 100; ++i) crowd.push_back(std::make_unique<RawPeer>(reader.exchange->address()));
  connect_owner(owner, reader, kSmall);
}

TEST(Exchange, ASecondCallByTheSameWorkerIsTurnedAway) {
  TestPeer reader(0);
  TestPeer awaited(2);
  auto reading = connecting(
      reader, {{.worker = 1, .address = "127.0.0.1:1", .receives = kSmall}, awaited.named(kLarge)});
  const std::string hello = bytes_of(make_hello(1, 0, kToken));
  RawPeer first(reader.exchange->address());
  first.say(hello);
  EXPECT_EQ(first.hear(sizeof(Hello)), bytes_of(make_hello(0, 1, kToken)));
  RawPeer second(reader.exchange->address());
  second.say(hello);
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

TEST(Exchange, RandomBytesInsteadOfAHelloDisturbNobody) {
  std::mt19937 random(7);
  TestPeer reader(0);
  TestPeer owner(1);
  auto reading = connecting(reader, {owner.named(kSmall)});
  const std::string hello = bytes_of(make_hello(1, 0, kToken));
  testing::internal::CaptureStderr();
  for (int i = 0; i < 200; ++i) {
    std::string said = hello.substr(0, random() % (hello.size() + 1));
    if (i % 2 == 0 || said == hello) {
      said = hello;
      said[random() % said.size()] ^= static_cast<char>(1 + random() % 255);
    }
    RawPeer stranger(reader.exchange->address());
    stranger.say(said);
    if (said.size() == hello.size()) {
      EXPECT_THAT(stranger.hear(), IsEmpty());
    }
  }
  testing::internal::GetCapturedStderr();
  owner.exchange->connect({reader.named()}, kLong);
  reading.get();
}

}  // namespace
}  // namespace lamina
