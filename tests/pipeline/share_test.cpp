#include "lamina/pipeline/share.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdint>

#include "lamina/core/error.hpp"
#include "small_network.hpp"

namespace lamina {
namespace {

TEST(Share, TheSharesOfABatchAreTheBatchInOrderAndEven) {
  for (const std::int64_t samples : {0, 1, 5, 7, 64, 97})
    for (const int of : {1, 2, 3, 8}) {
      std::int64_t next = 0;
      for (int index = 0; index < of; ++index) {
        const Share share = share_of(samples, {index, of});
        EXPECT_EQ(share.first, next);
        EXPECT_LE(std::abs(share.count() - samples / of), 1);
        next = share.end;
      }
      EXPECT_EQ(next, samples);
    }
}

// A lane is opened where some batch may need it, and no batch needs one that was not opened.
TEST(Share, SamplesAreInCommonOnlyWhereTheyMayBe) {
  for (const int of_a : {1, 2, 3, 4, 6})
    for (const int of_b : {1, 2, 3, 5})
      for (int a = 0; a < of_a; ++a)
        for (int b = 0; b < of_b; ++b) {
          bool ever = false;
          for (std::int64_t samples = 0; samples <= 60; ++samples)
            ever |= common_share(samples, {a, of_a}, {b, of_b}).count() > 0;
          EXPECT_EQ(may_share({a, of_a}, {b, of_b}), ever) << a << "/" << of_a << " " << b << "/" << of_b;
        }
}

Packet reported_packet(std::int64_t batch) {
  Packet packet = tests::train_packet(3, batch);
  packet.image_BCHW =
      at::randint(256, {batch, 3, 8, 8}, at::kByte).contiguous(at::MemoryFormat::ChannelsLast);
  packet.modules = {{{{"independent", 0.5, 2}, {"cascaded", 0.25, -1}}}, {{{"classifier", 1.5, 4}}}};
  packet.stages = {{.compute_s = 2, .age_steps = 3, .snapshot_wait_s = 1}};
  packet.notes = {"a note"};
  return packet;
}

// One packet cut among several receivers and put together again is the same packet.
TEST(Share, PiecesJoinedAreTheWholeAgain) {
  for (const std::int64_t batch : {1, 2, 7, 12})
    for (const int receivers : {1, 2, 3, 5}) {
      const Packet whole = reported_packet(batch);
      Packet joined = piece_of(whole, {}, {0, receivers}, /*with_reports=*/true);
      for (int i = 1; i < receivers; ++i) join(joined, piece_of(whole, {}, {i, receivers}, false));
      EXPECT_TRUE(at::equal(joined.x_BCHW, whole.x_BCHW));
      EXPECT_TRUE(joined.x_BCHW.is_contiguous(at::MemoryFormat::ChannelsLast));
      EXPECT_TRUE(at::equal(joined.y_B, whole.y_B));
      EXPECT_TRUE(at::equal(joined.image_BCHW, whole.image_BCHW));
      EXPECT_EQ(joined.modules[0].losses[0].loss, 0.5);
      EXPECT_EQ(joined.modules[0].losses[0].correct, 2);
      EXPECT_EQ(joined.modules[0].losses[1].correct, -1);
      EXPECT_EQ(joined.modules[1].losses[0].loss, 1.5);
      EXPECT_EQ(joined.stages[0].age_steps, 3);
      EXPECT_EQ(joined.notes, whole.notes);
    }
}

TEST(Share, PiecesAreAlignedForATransport) {
  const Packet whole = reported_packet(7);
  for (int i = 0; i < 3; ++i) {
    const Packet piece = piece_of(whole, {}, {i, 3}, false);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(piece.y_B.const_data_ptr()) % 64, 0u);
    EXPECT_TRUE(piece.x_BCHW.is_contiguous(at::MemoryFormat::ChannelsLast));
  }
}

TEST(Share, PiecesOfSeveralSendersAddUp) {
  const Packet first = reported_packet(6), second = reported_packet(6);
  Packet a = piece_of(first, {0, 2}, {}, true), b = piece_of(second, {1, 2}, {}, true);
  a.batch = b.batch = 12;
  join(a, std::move(b));
  EXPECT_EQ(a.modules[0].losses[0].loss, 1.0);
  EXPECT_EQ(a.modules[0].losses[0].correct, 4);
  EXPECT_EQ(a.stages[0].compute_s, 2) << "replicas compute at the same time";
  EXPECT_EQ(a.notes.size(), 2u);
}

TEST(Share, APieceOfAnotherPacketIsRefused) {
  Packet packet = tests::train_packet(1, 4);
  EXPECT_THROW(join(packet, tests::train_packet(2, 4)), Error);
}

}  // namespace
}  // namespace lamina
