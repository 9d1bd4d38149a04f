#include "comm/nccl_cargo.hpp"

#include <ATen/ATen.h>

#include <cstring>

#include "comm/message_frame.hpp"

namespace lamina {

namespace {

NcclCargo with_empty_frame(const LaneSpec& spec, const SideStream& stream) {
  const auto num_bytes = static_cast<std::int64_t>(frame_bytes(spec.tensors.size(), spec.header_capacity));
  return {.frame_on_host = stream.empty_on_host(num_bytes),
          .frame = at::empty({num_bytes}, at::dtype(at::kByte).device(stream.device())),
          .tensors = {}};
}

at::Tensor empty_tensor(const LaneTensor& spec, at::Device device) {
  return at::empty(spec.sizes, at::dtype(spec.dtype).device(device), spec.format);
}

at::Tensor padded(const at::Tensor& tensor, const LaneTensor& spec) {
  if (tensor.size(0) == spec.sizes[0]) return tensor;
  at::Tensor whole = empty_tensor(spec, tensor.device());
  whole.narrow(0, 0, tensor.size(0)).copy_(tensor);
  return whole;
}

}  // namespace

NcclCargo NcclCargo::of(const Message& message, const LaneSpec& spec, const SideStream& stream) {
  NcclCargo cargo = with_empty_frame(spec, stream);
  const std::string packed = pack_frame(message);
  std::memcpy(cargo.frame_on_host.mutable_data_ptr(), packed.data(), packed.size());
  for (std::size_t i = 0; i < spec.tensors.size(); ++i)
    cargo.tensors.push_back(padded(message.tensors[i], spec.tensors[i]));
  return cargo;
}

NcclCargo NcclCargo::empty(const LaneSpec& spec, const SideStream& stream) {
  NcclCargo cargo = with_empty_frame(spec, stream);
  for (const LaneTensor& tensor : spec.tensors)
    cargo.tensors.push_back(empty_tensor(tensor, stream.device()));
  return cargo;
}

std::vector<NcclCall> NcclCargo::calls(NcclCall::Way way, int peer) const {
  std::vector<NcclCall> all{{way, peer, frame}};
  for (const at::Tensor& tensor : tensors) all.push_back({way, peer, tensor});
  return all;
}

Message NcclCargo::message() const {
  return unpack_frame({static_cast<const char*>(frame_on_host.const_data_ptr()),
                       static_cast<std::size_t>(frame_on_host.numel())},
                      tensors);
}

}  // namespace lamina
