#include "lamina/pipeline/packet.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lamina/core/error.hpp"

namespace lamina {

using Json = nlohmann::json;

void to_json(Json& j, const ModuleReport& report) {
  j = Json::array({report.loss, report.correct});
}
void from_json(const Json& j, ModuleReport& report) {
  j.at(0).get_to(report.loss);
  j.at(1).get_to(report.correct);
}

LaneSpec packet_lane(int from, int to, const FeatureShape& features, std::int64_t batch, at::ScalarType dtype,
                     at::MemoryFormat format, int buffers) {
  return {.from = from,
          .to = to,
          .tensors = {{dtype, {batch, features.channels, features.height, features.width}, format},
                      {at::kLong, {batch}}},
          .buffers = buffers};
}

Message to_message(Packet packet, const LaneSpec& lane) {
  const Json header = {
      {"kind", static_cast<int>(packet.kind)},
      {"step", packet.step},
      {"epoch", packet.epoch},
      {"total_steps", packet.total_steps},
      {"lr", packet.lr},
      {"closes", packet.closes_evaluation},
      {"evaluated", packet.evaluated},
      {"modules", packet.modules},
      {"stage_s", packet.stage_s},
      {"notes", packet.notes},
  };
  const std::vector<std::uint8_t> bytes = Json::to_cbor(header);
  Message message{.header = {bytes.begin(), bytes.end()}, .tensors = {}};
  if (packet.is_mark()) {
    for (const LaneTensor& slot : lane.tensors) {
      std::vector<std::int64_t> sizes = slot.sizes;
      sizes.front() = 0;
      message.tensors.push_back(at::empty(sizes, at::TensorOptions(slot.dtype).memory_format(slot.format)));
    }
  } else {
    message.tensors = {std::move(packet.x_BCHW), std::move(packet.y_B)};
  }
  return message;
}

Packet to_packet(Message message) {
  Packet packet;
  try {
    const Json header = Json::from_cbor(message.header);
    packet.kind = static_cast<PacketKind>(header.at("kind").get<int>());
    header.at("step").get_to(packet.step);
    header.at("epoch").get_to(packet.epoch);
    header.at("total_steps").get_to(packet.total_steps);
    header.at("lr").get_to(packet.lr);
    header.at("closes").get_to(packet.closes_evaluation);
    header.at("evaluated").get_to(packet.evaluated);
    header.at("modules").get_to(packet.modules);
    header.at("stage_s").get_to(packet.stage_s);
    header.at("notes").get_to(packet.notes);
  } catch (const Json::exception& e) {
    throw Error(ErrorKind::contract,
                fmt::format("expected a packet's header, found {} bytes that are none: {}",
                            message.header.size(), e.what()));
  }
  if (!packet.is_mark()) {
    packet.x_BCHW = std::move(message.tensors.at(0));
    packet.y_B = std::move(message.tensors.at(1));
  }
  return packet;
}

}  // namespace lamina
