#include "lamina/pipeline/packet.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "lamina/core/error.hpp"

namespace lamina {

using Json = nlohmann::json;

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LossReport, branch, loss, correct)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ModuleReport, losses)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(StageReport, compute_s, age_steps, snapshot_wait_s, replica_wait_s,
                                   input_wait_s, room_wait_s, checkpoint_wait_s, memory_mib,
                                   device_memory_mib, skipped)

namespace {

constexpr std::size_t gradient_header_capacity = 64;

// What has to hold of a header before anything is made of it. The parser goes down a level of the stack for
// every level of the text, and a short one may have thousands; and what is counted is a whole number.
class HeaderForm final : public nlohmann::json_sax<Json> {
 public:
  static void require(const std::string& header) {
    HeaderForm form;
    if (!Json::sax_parse(header, &form, Json::input_format_t::cbor) && form.broken_)
      throw Error(ErrorKind::contract, fmt::format("expected a packet's header, found {} bytes with {}",
                                                   header.size(), form.broken_));
  }

  bool start_object(std::size_t) override { return enter(); }
  bool start_array(std::size_t) override { return enter(); }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override {
    return !is_count_ || fail("a fraction where there should be none");
  }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool key(string_t& name) override {
    constexpr std::array<std::string_view, 7> counts = {"kind",  "step",    "epoch",    "total_steps",
                                                        "batch", "correct", "age_steps"};
    is_count_ = std::ranges::count(counts, name) > 0;
    return true;
  }
  // Json::from_cbor says what is wrong.
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  bool fail(const char* what) {
    broken_ = what;
    return false;
  }
  bool enter() {
    constexpr int most = 8;
    return ++depth_ <= most || fail("more levels than it has");
  }
  bool leave() {
    --depth_;
    return true;
  }

  const char* broken_ = nullptr;
  int depth_ = 0;
  bool is_count_ = false;
};

PacketKind known_kind(int kind) {
  if (kind >= static_cast<int>(PacketKind::train) && kind <= static_cast<int>(PacketKind::flush))
    return static_cast<PacketKind>(kind);
  throw Error(ErrorKind::contract, fmt::format("expected a packet's header, found one of kind {}", kind));
}

}  // namespace

LaneSpec packet_lane(int from, int to, const PacketShape& shape, int buffers) {
  const FeatureShape& features = shape.features;
  const FeatureShape& image = shape.image;
  LaneSpec lane{.from = from,
                .to = to,
                .tensors = {{shape.dtype,
                             {shape.batch, features.channels, features.height, features.width},
                             shape.format},
                            {at::kLong, {shape.batch}}},
                .buffers = buffers};
  if (image.num_values() > 0)
    lane.tensors.push_back(
        {at::kByte, {shape.batch, image.channels, image.height, image.width}, shape.format});
  return lane;
}

LaneSpec gradient_lane(int from, int to, const PacketShape& shape, int buffers) {
  LaneSpec lane = packet_lane(from, to, shape, buffers);
  lane.tensors.resize(1);
  lane.header_capacity = gradient_header_capacity;
  return lane;
}

namespace {

at::Tensor empty_slot(const LaneTensor& slot, at::Device device) {
  std::vector<std::int64_t> sizes = slot.sizes;
  sizes.front() = 0;
  return at::empty(sizes, at::TensorOptions(slot.dtype).device(device).memory_format(slot.format));
}

}  // namespace

Message to_message(Packet packet, const LaneSpec& lane, at::Device device) {
  const Json header = {
      {"kind", static_cast<int>(packet.kind)},
      {"step", packet.step},
      {"epoch", packet.epoch},
      {"total_steps", packet.total_steps},
      {"lr", packet.lr},
      {"batch", packet.batch},
      {"closes", packet.closes_evaluation},
      {"evaluated", packet.evaluated},
      {"skipped", packet.skipped},
      {"abandoned", packet.abandoned},
      {"modules", packet.modules},
      {"stages", packet.stages},
      {"notes", packet.notes},
  };
  const std::vector<std::uint8_t> bytes = Json::to_cbor(header);
  Message message{.header = {bytes.begin(), bytes.end()}, .tensors = {}};
  // A mark holds no tensors, an evaluation no image; empty ones take their places.
  const at::Tensor contents[] = {packet.x_BCHW, packet.y_B, packet.image_BCHW};
  for (std::size_t i = 0; i < lane.tensors.size(); ++i)
    message.tensors.push_back(contents[i].defined() ? contents[i] : empty_slot(lane.tensors[i], device));
  return message;
}

Packet to_packet(Message message) {
  HeaderForm::require(message.header);
  Packet packet;
  try {
    const Json header = Json::from_cbor(message.header);
    packet.kind = known_kind(header.at("kind").get<int>());
    header.at("step").get_to(packet.step);
    header.at("epoch").get_to(packet.epoch);
    header.at("total_steps").get_to(packet.total_steps);
    header.at("lr").get_to(packet.lr);
    header.at("batch").get_to(packet.batch);
    header.at("closes").get_to(packet.closes_evaluation);
    header.at("evaluated").get_to(packet.evaluated);
    header.at("skipped").get_to(packet.skipped);
    header.at("abandoned").get_to(packet.abandoned);
    header.at("modules").get_to(packet.modules);
    header.at("stages").get_to(packet.stages);
    header.at("notes").get_to(packet.notes);
  } catch (const Json::exception& e) {
    throw Error(ErrorKind::contract,
                fmt::format("expected a packet's header, found {} bytes that are none: {}",
                            message.header.size(), e.what()));
  }
  if (!packet.is_mark()) {
    packet.x_BCHW = std::move(message.tensors.at(0));
    packet.y_B = std::move(message.tensors.at(1));
    if (message.tensors.size() > 2 && message.tensors[2].size(0) > 0)
      packet.image_BCHW = std::move(message.tensors[2]);
  }
  return packet;
}

Message to_gradient_message(const at::Tensor& grad_BCHW, int micro, const LaneSpec& lane) {
  return {.header = std::to_string(micro), .tensors = {grad_BCHW.contiguous(lane.tensors.front().format)}};
}

at::Tensor to_gradient(Message message, int micro) {
  if (message.header != std::to_string(micro))
    throw Error(ErrorKind::contract, fmt::format("expected the gradient of micro-batch {}, found that of {}",
                                                 micro, message.header));
  return std::move(message.tensors.front());
}

}  // namespace lamina
