#include "lamina/pipeline/packet.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "lamina/core/error.hpp"
#include "small_network.hpp"

namespace lamina {
namespace {

LaneSpec lane() {
  return packet_lane(0, 1, {3, 8, 8}, 16, at::kFloat, at::MemoryFormat::ChannelsLast, 2);
}

TEST(Packet, SurvivesTheWayThroughAMessage) {
  Packet sent = testing::train_packet(7, 5);
  sent.epoch = 2;
  sent.total_steps = 99;
  sent.modules = {{0.1, 3}, {1.0 / 3.0, 4}};
  sent.stage_s = {0.25};
  const Packet got = to_packet(to_message(sent, lane()));
  EXPECT_EQ(got.kind, PacketKind::train);
  EXPECT_EQ(got.step, 7);
  EXPECT_EQ(got.epoch, 2);
  EXPECT_EQ(got.total_steps, 99);
  EXPECT_EQ(got.lr, sent.lr);
  EXPECT_EQ(got.modules[1].loss, 1.0 / 3.0);
  EXPECT_EQ(got.modules[1].correct, 4);
  EXPECT_EQ(got.stage_s, sent.stage_s);
  EXPECT_TRUE(got.x_BCHW.is_same(sent.x_BCHW)) << "the activation is handed on, not copied";
  EXPECT_TRUE(at::equal(got.y_B, sent.y_B));
}

TEST(Packet, AMarkCarriesNotesAndTensorsWithoutSamples) {
  Packet sent{.kind = PacketKind::stop, .step = 30, .evaluated = true};
  sent.notes = {"[1]", "[2]"};
  const Message message = to_message(sent, lane());
  ASSERT_EQ(message.tensors.size(), 2u);
  for (const at::Tensor& tensor : message.tensors) EXPECT_EQ(tensor.size(0), 0);
  const Packet got = to_packet(message);
  EXPECT_EQ(got.kind, PacketKind::stop);
  EXPECT_TRUE(got.evaluated);
  EXPECT_EQ(got.notes, sent.notes);
  EXPECT_EQ(got.samples(), 0);
}

TEST(Packet, AHeaderThatIsNoneIsRefused) {
  for (const std::string& header : {std::string(), std::string("garbage"), std::string("\xa0", 1)})
    EXPECT_THROW(to_packet({.header = header, .tensors = {}}), Error);
}

}  // namespace
}  // namespace lamina
