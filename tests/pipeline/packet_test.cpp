#include "lamina/pipeline/packet.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "lamina/core/error.hpp"
#include "small_network.hpp"

namespace lamina {
namespace {

LaneSpec lane(const FeatureShape& image = {}) {
  return packet_lane(0, 1, {.features = {3, 8, 8}, .image = image, .batch = 16}, 2);
}

TEST(Packet, SurvivesTheWayThroughAMessage) {
  Packet sent = tests::train_packet(7, 5);
  sent.epoch = 2;
  sent.total_steps = 99;
  sent.modules = {{{{"independent", 0.1, 3}, {"cascaded", 0.2, -1}}}, {{{"classifier", 1.0 / 3.0, 4}}}};
  sent.stages = {{.compute_s = 0.25,
                  .age_steps = 3,
                  .snapshot_wait_s = 0.125,
                  .replica_wait_s = 1,
                  .input_wait_s = 2,
                  .room_wait_s = 3,
                  .memory_mib = 4,
                  .device_memory_mib = 5}};
  const Packet got = to_packet(to_message(sent, lane()));
  EXPECT_EQ(got.kind, PacketKind::train);
  EXPECT_EQ(got.step, 7);
  EXPECT_EQ(got.epoch, 2);
  EXPECT_EQ(got.total_steps, 99);
  EXPECT_EQ(got.lr, sent.lr);
  ASSERT_EQ(got.modules.size(), 2u);
  for (std::size_t m = 0; m < 2; ++m) {
    ASSERT_EQ(got.modules[m].losses.size(), sent.modules[m].losses.size());
    for (std::size_t b = 0; b < got.modules[m].losses.size(); ++b) {
      EXPECT_EQ(got.modules[m].losses[b].branch, sent.modules[m].losses[b].branch);
      EXPECT_EQ(got.modules[m].losses[b].loss, sent.modules[m].losses[b].loss);
      EXPECT_EQ(got.modules[m].losses[b].correct, sent.modules[m].losses[b].correct);
    }
  }
  ASSERT_EQ(got.stages.size(), 1u);
  EXPECT_EQ(got.stages[0].compute_s, 0.25);
  EXPECT_EQ(got.stages[0].age_steps, 3);
  EXPECT_EQ(got.stages[0].snapshot_wait_s, 0.125);
  EXPECT_EQ(got.stages[0].replica_wait_s, 1);
  EXPECT_EQ(got.stages[0].input_wait_s, 2);
  EXPECT_EQ(got.stages[0].room_wait_s, 3);
  EXPECT_EQ(got.stages[0].memory_mib, 4);
  EXPECT_EQ(got.stages[0].device_memory_mib, 5);
  EXPECT_TRUE(got.x_BCHW.is_same(sent.x_BCHW)) << "the activation is handed on, not copied";
  EXPECT_TRUE(at::equal(got.y_B, sent.y_B));
}

TEST(Packet, CarriesAnImageWhereTheLaneHasRoomForOne) {
  const FeatureShape image{3, 8, 8};
  EXPECT_EQ(lane().tensors.size(), 2u);
  ASSERT_EQ(lane(image).tensors.size(), 3u);
  EXPECT_EQ(lane(image).tensors[2].dtype, at::kByte);
  Packet sent = tests::train_packet(7, 5);
  EXPECT_FALSE(to_packet(to_message(sent, lane(image))).image_BCHW.defined()) << "an evaluation has none";
  sent.image_BCHW = at::randint(256, {5, 3, 8, 8}, at::kByte);
  EXPECT_TRUE(to_packet(to_message(sent, lane(image))).image_BCHW.is_same(sent.image_BCHW));
  EXPECT_FALSE(to_packet(to_message(sent, lane())).image_BCHW.defined()) << "nobody behind the lane needs it";
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
