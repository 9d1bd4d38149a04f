#include "comm/exchange_frame.hpp"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <random>

#include "comm/raw_peer.hpp"

// What a known peer may send, and what comes of everything else.
namespace lamina {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const at::Tensor kLike = at::arange(2 * 3 * 2 * 2, at::kFloat).reshape({2, 3, 2, 2});
const std::vector<SnapshotShape> kShapes{snapshot_shape("ema.layer3.0", {kLike, at::zeros({3})})};

Frame good_frame() {
  return snapshot_frame(snapshot_of("ema.layer3.0", 7, {kLike, at::ones({3})}));
}

std::string frame_with(const std::function<void(FrameHead&)>& change) {
  Frame frame = good_frame();
  change(frame.head);
  return bytes_of(frame);
}

std::string frame_of(const std::string& part, std::vector<at::Tensor> tensors) {
  return bytes_of(snapshot_frame(snapshot_of(part, 7, std::move(tensors))));
}

struct BadFrame {
  const char* name;
  std::string bytes;
  std::vector<const char*> words;  // that the error must hold
};

const BadFrame bad_frames[] = {
    {"UnknownPart",
     frame_of("ema.layer9.0", {kLike, at::ones({3})}),
     {"another run or shape", "ema.layer9.0"}},
    {"OtherSizes",
     frame_of("ema.layer3.0", {at::zeros({2, 3, 2, 4}), at::ones({3})}),
     {"another run or shape", "ema.layer3.0", "expected Float[2,3,2,2]", "found Float[2,3,2,4]"}},
    {"OtherStrides",
     frame_of("ema.layer3.0", {kLike.contiguous(at::MemoryFormat::ChannelsLast), at::ones({3})}),
     {"expected Float[2,3,2,2] with strides [12,4,2,1]", "found Float[2,3,2,2] with strides [12,1,6,3]"}},
    {"OtherType",
     frame_of("ema.layer3.0", {kLike, at::ones({3}, at::kDouble)}),
     {"expected Float[3]", "found Double[3]"}},
    {"ATensorLess", frame_of("ema.layer3.0", {kLike}), {"expected Float[3]", "found nothing"}},
    {"ATensorMore",
     frame_of("ema.layer3.0", {kLike, at::ones({3}), at::ones({5})}),
     {"expected nothing", "found Float[5]"}},
    {"OtherPayload",
     frame_with([](FrameHead& head) { head.payload_bytes += 4; }),
     {"expected 108 bytes", "found 112 bytes"}},
    {"EndlessPayload",
     frame_with([](FrameHead& head) { head.payload_bytes = ~0ull; }),
     {"expected 108 bytes"}},
    {"EndlessText", frame_with([](FrameHead& head) { head.text_bytes = ~0ull; }), {"the head of a snapshot"}},
    {"TextLongerThanAnyExpected",
     frame_with([](FrameHead& head) { head.text_bytes = 60000; }),
     {"the head of a snapshot", "a text of 60000 bytes"}},
    {"NoText", frame_with([](FrameHead& head) { head.text_bytes = 0; }), {"the head of a snapshot"}},
    {"NegativeVersion", frame_with([](FrameHead& head) { head.version = -1; }), {"version -1"}},
    {"UnknownKind", frame_with([](FrameHead& head) { head.kind = FrameKind(9); }), {"kind 9"}},
    {"OtherMagic", frame_with([](FrameHead& head) { head.magic = 1; }), {"magic 0x1"}},
    {"GoodbyeWithPayload",
     frame_with([](FrameHead& head) { head.kind = FrameKind::goodbye; }),
     {"the head of a snapshot"}},
    {"Garbage", std::string(4096, '\xa5'), {"the head of a snapshot"}},
};

class ExchangeBadFrames : public testing::TestWithParam<BadFrame> {};

TEST_P(ExchangeBadFrames, FailTheRunAndNameTheSender) {
  RawPair pair(kShapes);
  pair.owner.say(GetParam().bytes);
  const std::vector<Error> failures = pair.reader.told.failures(1);
  ASSERT_THAT(failures, SizeIs(1));
  EXPECT_EQ(failures[0].kind(), ErrorKind::contract);
  EXPECT_THAT(failures[0].what(), HasSubstr("worker 0 receives from worker 1"));
  for (const char* word : GetParam().words) EXPECT_THAT(failures[0].what(), HasSubstr(word));
  pair.owner.hear();  // returns, since the connection is closed
  EXPECT_THAT(pair.reader.told.failures(), SizeIs(1));
}

INSTANTIATE_TEST_SUITE_P(Exchange, ExchangeBadFrames, testing::ValuesIn(bad_frames),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(ExchangeFrame, WhereNothingIsExpectedEvenTheHeadOfASnapshotIsRefused) {
  RawPair pair({});
  pair.owner.say(bytes_of(good_frame().head));
  const std::vector<Error> failures = pair.reader.told.failures(1);
  ASSERT_THAT(failures, SizeIs(1));
  EXPECT_EQ(failures[0].kind(), ErrorKind::contract);
  EXPECT_THAT(failures[0].what(), HasSubstr("the head of a snapshot"));
}

TEST(ExchangeFrame, AFrameIsUnderstoodHoweverItIsCutIntoPieces) {
  RawPair pair(kShapes);
  const std::string bytes = bytes_of(good_frame());
  std::mt19937 random(3);
  for (int round = 0; round < 20; ++round) {
    for (std::size_t begin = 0; begin < bytes.size();) {
      const std::size_t size = 1 + random() % 60;
      pair.owner.say(bytes.substr(begin, size));
      begin += size;
    }
  }
  for (const SnapshotPtr& each : pair.reader.told.snapshots(20)) {
    EXPECT_EQ(each->version, 7);
    EXPECT_TRUE(at::equal(each->tensors[0], kLike));
    EXPECT_TRUE(at::equal(each->tensors[1], at::ones({3})));
  }
}

TEST(ExchangeFrame, APeerThatBreaksOffAnywhereInAFrameIsLost) {
  const std::string bytes = bytes_of(good_frame());
  for (std::size_t size = 0; size <= bytes.size(); ++size) {
    SCOPED_TRACE(size);
    RawPair pair(kShapes);
    pair.owner.say(bytes.substr(0, size));
    pair.owner.hang_up();
    const std::vector<Error> failures = pair.reader.told.failures(1);
    ASSERT_THAT(failures, SizeIs(1));
    EXPECT_EQ(failures[0].kind(), ErrorKind::peer_lost);
    EXPECT_THAT(failures[0].what(), HasSubstr("worker 1"));
    EXPECT_THAT(pair.reader.told.snapshots(), SizeIs(size == bytes.size() ? 1 : 0));
  }
}

TEST(ExchangeFrame, AGoodbyeIsAnsweredAndIsNoLoss) {
  RawPair pair(kShapes);
  pair.owner.say(bytes_of(good_frame()) + bytes_of(goodbye_head()));
  EXPECT_EQ(pair.owner.hear(), bytes_of(goodbye_head()));
  EXPECT_THAT(pair.reader.told.snapshots(1), SizeIs(1));
  EXPECT_THAT(pair.reader.told.failures(), IsEmpty());
}

TEST(ExchangeFrame, ABadPeerDoesNotDisturbTheOthers) {
  TestPeer reader(0);
  TestPeer good(2);
  RawPeer bad(reader.exchange->address());
  auto reading =
      connecting(reader, {{.worker = 1, .address = "127.0.0.1:1", .receives = kShapes}, good.named(kSmall)});
  bad.introduce(hello_of(1, 0), kToken);
  bad.say(std::string(500, '?'));
  good.exchange->connect({reader.named()}, kLong);
  reading.get();
  EXPECT_THAT(reader.told.failures(1), SizeIs(1));
  good.exchange->send(0, small(3));
  EXPECT_THAT(reader.told.snapshots(1), SizeIs(1));
  part(good, reader);
  EXPECT_THAT(reader.told.failures(), SizeIs(1));
}

// A change to a frame's form must never get through; one to its version or content may, with the form intact.
TEST(ExchangeFrame, MutatedFramesNeverYieldASnapshotOfAnotherForm) {
  const Frame frame = good_frame();
  const std::string bytes = bytes_of(frame);
  const std::size_t form_bytes = sizeof(FrameHead) + frame.text.size();
  std::mt19937 random(11);
  for (int round = 0; round < 400; ++round) {
    SCOPED_TRACE(round);
    std::string mutated = bytes;
    for (unsigned flips = 1 + random() % 4; flips > 0; --flips) {
      mutated[random() % (round % 4 == 0 ? mutated.size() : form_bytes)] ^=
          static_cast<char>(1 << random() % 8);
    }
    if (round % 3 == 0) mutated.erase(random() % mutated.size(), 1 + random() % 16);
    if (round % 3 == 1) mutated.insert(random() % mutated.size(), std::string(1 + random() % 16, '\x5a'));
    std::string form = mutated.substr(0, form_bytes);
    std::memcpy(form.data() + offsetof(FrameHead, version), &frame.head.version, sizeof(frame.head.version));

    RawPair pair(kShapes);
    pair.owner.say(mutated);
    pair.owner.hang_up();
    EXPECT_THAT(pair.reader.told.failures(1), SizeIs(1));
    const std::vector<SnapshotPtr> received = pair.reader.told.snapshots();
    if (form != bytes.substr(0, form_bytes)) {
      EXPECT_THAT(received, IsEmpty());
    }
    for (const SnapshotPtr& each : received) {
      EXPECT_EQ(snapshot_shape(each->part, each->tensors), kShapes[0]);
      EXPECT_GE(each->version, 0);
    }
  }
}

TEST(ExchangeFrame, AnErrorIsOneLineOfPlainTextWhateverWasSent) {
  RawPair pair(kShapes);
  Frame frame = good_frame();
  frame.text = "new\x1b[31m\r" + std::string(3000, '\xff') + "\n\n\n";
  frame.head.text_bytes = frame.text.size();
  pair.owner.say(bytes_of(frame));
  const std::vector<Error> failures = pair.reader.told.failures(1);
  ASSERT_THAT(failures, SizeIs(1));
  const std::string message = failures[0].what();
  EXPECT_TRUE(std::all_of(message.begin(), message.end(), [](char c) { return c >= ' ' && c <= '~'; }));
  EXPECT_LT(message.size(), 600u);
}

TEST(ExchangeFrame, AddressesReadBackAsTheyWereWritten) {
  for (const char* text : {"127.0.0.1:1", "10.1.2.3:65535", "[::1]:80", "[2001:db8::7]:4000"}) {
    EXPECT_EQ(endpoint_text(endpoint_of(text)), text);
  }
  for (const char* text : {"", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "host:80",
                           "127.0.0.1:80x", "[::1]"}) {
    EXPECT_THROW(endpoint_of(text), Error) << text;
  }
}

}  // namespace
}  // namespace lamina
