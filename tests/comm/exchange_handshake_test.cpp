#include "comm/exchange_handshake.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "comm/expect_error.hpp"
#include "comm/raw_peer.hpp"
#include "lamina/comm/token.hpp"

// What proves that a worker belongs to the run, and what does not.
namespace lamina {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

// A listener that a test speaks for, which worker 1 calls in the belief that it is worker 0.
struct FalseCallee {
  RawPeer next_call() { return RawPeer(acceptor); }

  asio::io_context io;
  tcp::acceptor acceptor{io, tcp::endpoint(asio::ip::address_v4::loopback(), 0)};
  TestPeer owner{1};
  std::future<void> calling =
      connecting(owner, {{.worker = 0, .address = endpoint_text(acceptor.local_endpoint()), .receives = {}}});
};

void expect_lost(std::future<void> calling, const char* why) {
  try {
    calling.get();
    FAIL() << "the callee was believed";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::peer_lost);
    EXPECT_THAT(error.what(), HasSubstr(why));
  }
}

TEST(ExchangeHandshake, AProofIsOfEverythingThatWasSaid) {
  const Hello hello = hello_of(1, 0);
  const Nonce challenge = fresh_nonce();
  std::set<Proof> proofs{proof_of(End::caller, hello, challenge, kToken),
                         proof_of(End::callee, hello, challenge, kToken),
                         proof_of(End::caller, hello, challenge, kToken + "0"),
                         proof_of(End::caller, hello, fresh_nonce(), kToken)};
  const auto with = [&](const std::function<void(Hello&)>& change) {
    Hello changed = hello;
    change(changed);
    proofs.insert(proof_of(End::caller, changed, challenge, kToken));
  };
  with([](Hello& it) { it.greeting.protocol += 1; });
  with([](Hello& it) { it.caller = 2; });
  with([](Hello& it) { it.callee = 2; });
  with([](Hello& it) { it.nonce.back() ^= 1; });
  EXPECT_EQ(proofs.size(), 8u);
  EXPECT_EQ(proofs.count(proof_of(End::caller, hello, challenge, kToken)), 1u);
}

TEST(ExchangeHandshake, TokensAreLongAndNeverTheSame) {
  const std::string token = random_token();
  EXPECT_EQ(token.size(), 64u);
  EXPECT_TRUE(std::all_of(token.begin(), token.end(), [](unsigned char c) { return std::isxdigit(c); }));
  EXPECT_NE(token, random_token());
}

TEST(ExchangeHandshake, TheTokenDoesNotTravel) {
  FalseCallee callee;
  RawPeer line = callee.next_call();
  std::string heard = line.hear(sizeof(Hello));
  line.say(bytes_of(Challenge{.greeting = greeting(), .nonce = {}}));
  heard += line.hear(sizeof(Proof));
  EXPECT_EQ(heard.size(), sizeof(Hello) + sizeof(Proof));
  EXPECT_EQ(heard.find(kToken), std::string::npos);
  EXPECT_EQ(heard.find(kToken.substr(0, 8)), std::string::npos);
  line.say(bytes_of(Verdict{.admitted = 0, .proof = {}}));
  expect_lost(std::move(callee.calling), "turned this worker away");
}

// One handshake as somebody on the way overhears it.
struct Overheard {
  Overheard() {
    TestPeer reader(0);
    auto reading = connecting(reader, {{.worker = 1, .address = "127.0.0.1:1", .receives = kSmall}});
    RawPeer owner(reader.exchange->address());
    const Hello hello = hello_of(1, 0);
    owner.say(bytes_of(hello));
    const Challenge challenge = owner.hear<Challenge>();
    const Proof proof = proof_of(End::caller, hello, challenge.nonce, kToken);
    owner.say(bytes_of(proof));
    const Verdict verdict = owner.hear<Verdict>();
    EXPECT_TRUE(verdict.admitted);
    reading.get();
    by_caller = bytes_of(hello) + bytes_of(proof);
    by_callee = bytes_of(challenge) + bytes_of(verdict);
  }
  std::string by_caller;
  std::string by_callee;
};

TEST(ExchangeHandshake, WhatACallerSaidProvesNothingASecondTime) {
  const Overheard overheard;
  TestPeer reader(0);
  TestPeer owner(1);
  auto reading = connecting(reader, {owner.named(kSmall)});
  testing::internal::CaptureStderr();
  RawPeer stranger(reader.exchange->address());
  stranger.say(overheard.by_caller);
  stranger.hear<Challenge>();
  ASSERT_FALSE(stranger.hear<Verdict>().admitted);
  EXPECT_THAT(stranger.hear(), IsEmpty());
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("token"));
  owner.exchange->connect({reader.named()}, kLong);
  reading.get();
}

TEST(ExchangeHandshake, WhatACalleeSaidProvesNothingASecondTime) {
  const Overheard overheard;
  FalseCallee callee;
  RawPeer line = callee.next_call();
  line.say(overheard.by_callee);
  expect_lost(std::move(callee.calling), "token");
}

TEST(ExchangeHandshake, ACallersOwnWordsSentBackProveNothing) {
  FalseCallee callee;
  RawPeer line = callee.next_call();
  line.say(bytes_of(Challenge{.greeting = greeting(), .nonce = line.hear<Hello>().nonce}));
  line.say(bytes_of(Verdict{.admitted = 1, .proof = line.hear<Proof>()}));
  expect_lost(std::move(callee.calling), "token");
}

TEST(ExchangeHandshake, AWorkerLearnsOfAnotherProtocol) {
  FalseCallee callee;
  RawPeer line = callee.next_call();
  Greeting other = greeting();
  other.protocol = 3;
  line.say(bytes_of(other));
  expect_lost(std::move(callee.calling), "expected protocol 2, found 3");
}

TEST(ExchangeHandshake, AWorkerThatIsHungUpOnInACrowdCallsAgain) {
  FalseCallee callee;
  callee.next_call().hear<Hello>();
  {
    RawPeer line = callee.next_call();
    line.hear<Hello>();
    line.say(bytes_of(Challenge{.greeting = greeting(), .nonce = fresh_nonce()}));
    line.hear<Proof>();
  }
  RawPeer line = callee.next_call();
  const Hello hello = line.hear<Hello>();
  const Challenge challenge{.greeting = greeting(), .nonce = fresh_nonce()};
  line.say(bytes_of(challenge));
  EXPECT_EQ(line.hear<Proof>(), proof_of(End::caller, hello, challenge.nonce, kToken));
  line.say(bytes_of(Verdict{.admitted = 1, .proof = proof_of(End::callee, hello, challenge.nonce, kToken)}));
  callee.calling.get();
}

TEST(ExchangeHandshake, ACalleeThatHangsUpAndIsGoneIsLost) {
  FalseCallee callee;
  {
    RawPeer line = callee.next_call();
    line.hear<Hello>();
    callee.acceptor.close();
  }
  expect_lost(std::move(callee.calling), "is gone");
}

}  // namespace
}  // namespace lamina
