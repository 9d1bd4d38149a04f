#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstring>
#include <fstream>
#include <map>
#include <numeric>
#include <sstream>

#include "comm/exchange_frame.hpp"
#include "comm/exchange_handshake.hpp"
#include "comm/raw_peer.hpp"

// What docs/formats.md promises of the wire: tests/comm/formats holds what every protocol says.
namespace lamina {
namespace {

using testing::SizeIs;

// name -> bytes, of a file with a line each, in hex.
std::map<std::string, std::string> messages(std::uint32_t protocol) {
  std::ifstream file(fmt::format("{}/wire-{}.hex", LAMINA_WIRE_FORMATS, protocol));
  EXPECT_TRUE(file) << "protocol " << protocol << " has no fixture";
  std::map<std::string, std::string> all;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("#")) continue;
    std::istringstream words(line);
    std::string name, hex;
    words >> name >> hex;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
      all[name] += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return all;
}

Nonce counting_from(unsigned char first) {
  Nonce nonce;
  std::iota(nonce.begin(), nonce.end(), first);
  return nonce;
}

const std::vector<at::Tensor>& tensors() {
  static const std::vector<at::Tensor> all{at::arange(1, 5, at::kFloat).reshape({2, 2}),
                                           at::full({1}, 5, at::kLong)};
  return all;
}

TEST(WireFormats, WhatThisBuildSaysIsItsProtocolsFixture) {
  const std::map<std::string, std::string> said = messages(greeting().protocol);
  const Hello hello{.greeting = greeting(), .caller = 1, .callee = 0, .nonce = counting_from(0)};
  const Challenge challenge{.greeting = greeting(), .nonce = counting_from(32)};
  EXPECT_EQ(bytes_of(hello), said.at("hello"));
  EXPECT_EQ(bytes_of(challenge), said.at("challenge"));
  EXPECT_EQ(bytes_of(proof_of(End::caller, hello, challenge.nonce, kToken)), said.at("proof"));
  const Verdict verdict{.admitted = 1, .proof = proof_of(End::callee, hello, challenge.nonce, kToken)};
  EXPECT_EQ(bytes_of(verdict), said.at("verdict"));
  EXPECT_EQ(bytes_of(snapshot_frame(snapshot_of("ema.layer3.0", 7, tensors()))), said.at("snapshot"));
  EXPECT_EQ(bytes_of(goodbye_head()), said.at("goodbye"));
}

TEST(WireFormats, ALaterProtocolsGreetingNamesBothNumbersAsDoesEveryEarlierOne) {
  for (std::uint32_t protocol = 1; protocol <= greeting().protocol + 1; ++protocol) {
    if (protocol == greeting().protocol) continue;
    Greeting theirs = greeting();
    theirs.protocol = protocol;
    if (protocol < greeting().protocol) {
      const std::string hello = messages(protocol).at("hello");
      ASSERT_GE(hello.size(), sizeof(theirs));
      std::memcpy(&theirs, hello.data(), sizeof(theirs));
    }
    try {
      check_greeting(theirs);
      FAIL() << "protocol " << protocol << " was let in";
    } catch (const TurnedAway& stranger) {
      EXPECT_EQ(stranger.why, fmt::format("expected protocol {}, found {}", greeting().protocol, protocol));
    }
  }
}

TEST(WireFormats, FramesOfEveryProtocolAreRead) {
  for (std::uint32_t protocol = 1; protocol <= greeting().protocol; ++protocol) {
    SCOPED_TRACE(protocol);
    RawPair pair({snapshot_shape("ema.layer3.0", tensors())});
    pair.owner.say(messages(protocol).at("snapshot") + messages(protocol).at("goodbye"));
    const std::vector<SnapshotPtr> received = pair.reader.told.snapshots(1);
    ASSERT_THAT(received, SizeIs(1));
    EXPECT_EQ(received[0]->version, 7);
    for (std::size_t i = 0; i < tensors().size(); ++i)
      EXPECT_TRUE(at::equal(received[0]->tensors[i], tensors()[i]));
    EXPECT_EQ(pair.owner.hear(), messages(protocol).at("goodbye"));
  }
}

}  // namespace
}  // namespace lamina
