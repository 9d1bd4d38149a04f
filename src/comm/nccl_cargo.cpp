#include "comm/nccl_cargo.hpp"

#include <ATen/ATen.h>

#include <cstring>

#include "comm/lane_check.hpp"
#include "comm/message_frame.hpp"

namespace lamina {

namespace {

constexpr std::int64_t cargo_alignment_bytes = 256;  // of every tensor; no kernel asks for more

std::int64_t aligned(std::int64_t num_bytes) {
  return (num_bytes + cargo_alignment_bytes - 1) / cargo_alignment_bytes * cargo_alignment_bytes;
}

std::int64_t num_bytes_of(const LaneTensor& spec) {
  return c10::multiply_integers(spec.sizes) * static_cast<std::int64_t>(c10::elementSize(spec.dtype));
}

// Not a view: in-place changes of one tensor of a message are none of the others'.
at::Tensor tensor_at(const at::Tensor& bytes, std::int64_t offset, const LaneTensor& spec) {
  at::Tensor tensor = at::empty({0}, bytes.options().dtype(spec.dtype));
  const auto size = static_cast<std::int64_t>(c10::elementSize(spec.dtype));
  return tensor.set_(bytes.storage(), offset / size, spec.sizes, dense_strides(spec.sizes, spec.format));
}

}  // namespace

NcclCargo NcclCargo::empty(const LaneSpec& spec, const SideStream& stream) {
  const auto frame_size = static_cast<std::int64_t>(frame_bytes(spec.tensors.size(), spec.header_capacity));
  std::vector<std::int64_t> offsets;
  std::int64_t size = frame_size;
  for (const LaneTensor& tensor : spec.tensors) {
    offsets.push_back(aligned(size));
    size = offsets.back() + num_bytes_of(tensor);
  }
  NcclCargo cargo{.frame_on_host = stream.empty_on_host(frame_size),
                  .bytes = at::empty({size}, at::dtype(at::kByte).device(stream.device())),
                  .tensors = {}};
  for (std::size_t i = 0; i < offsets.size(); ++i)
    cargo.tensors.push_back(tensor_at(cargo.bytes, offsets[i], spec.tensors[i]));
  return cargo;
}

NcclCargo NcclCargo::of(const Message& message, const LaneSpec& spec, const SideStream& stream) {
  NcclCargo cargo = empty(spec, stream);
  const std::string packed = pack_frame(message);
  std::memcpy(cargo.frame_on_host.mutable_data_ptr(), packed.data(), packed.size());
  for (std::size_t i = 0; i < spec.tensors.size(); ++i) {
    const at::Tensor& tensor = message.tensors[i];
    cargo.tensors[i].narrow(0, 0, tensor.size(0)).copy_(tensor);
  }
  return cargo;
}

Message NcclCargo::message() const {
  return unpack_frame({static_cast<const char*>(frame_on_host.const_data_ptr()),
                       static_cast<std::size_t>(frame_on_host.numel())},
                      tensors);
}

}  // namespace lamina
