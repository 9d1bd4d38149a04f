#include <ATen/ATen.h>

#include "comm/message_frame.hpp"
#include "fuzz/fuzz_target.hpp"
#include "lamina/pipeline/packet.hpp"

namespace lamina {
namespace {

const LaneSpec& lane() {
  static const LaneSpec spec = packet_lane(0, 1, {.features = {2, 4, 4}, .image = {3, 4, 4}, .batch = 4}, 2);
  return spec;
}

std::vector<at::Tensor> buffers() {
  std::vector<at::Tensor> tensors;
  for (const LaneTensor& slot : lane().tensors)
    tensors.push_back(at::zeros(slot.sizes, slot.dtype).contiguous(slot.format));
  return tensors;
}

}  // namespace

// A message's first frame as it comes over MPI: counts, then the packet's header.
bool fuzz_packet(std::string_view bytes) {
  static const std::vector<at::Tensor> arrived = buffers();
  Packet packet;
  if (!taken([&] { packet = to_packet(unpack_frame(bytes, arrived)); })) return false;
  const Packet again = to_packet(to_message(packet, lane()));
  require(again.kind == packet.kind && again.step == packet.step && again.notes == packet.notes &&
              again.modules.size() == packet.modules.size() && again.samples() == packet.samples(),
          "a packet changes on its way");
  return true;
}

}  // namespace lamina
