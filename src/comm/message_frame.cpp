#include "comm/message_frame.hpp"

#include <ATen/ATen.h>

#include <cstdint>
#include <cstring>

namespace lamina {

namespace {

using WireInt = std::int64_t;

}  // namespace

std::size_t frame_bytes(std::size_t num_tensors, std::size_t header_size) {
  return (1 + num_tensors) * sizeof(WireInt) + header_size;
}

std::string pack_frame(const Message& message) {
  std::vector<WireInt> counts{static_cast<WireInt>(message.header.size())};
  for (const at::Tensor& tensor : message.tensors) counts.push_back(tensor.size(0));
  std::string frame(reinterpret_cast<const char*>(counts.data()), counts.size() * sizeof(WireInt));
  return frame += message.header;
}

Message unpack_frame(std::string_view frame, const std::vector<at::Tensor>& buffers) {
  std::vector<WireInt> counts(1 + buffers.size());
  std::memcpy(counts.data(), frame.data(), counts.size() * sizeof(WireInt));
  Message message{.header = std::string(
                      frame.substr(counts.size() * sizeof(WireInt), static_cast<std::size_t>(counts[0]))),
                  .tensors = {}};
  for (std::size_t i = 0; i < buffers.size(); ++i)
    message.tensors.push_back(buffers[i].narrow(0, 0, counts[i + 1]));
  return message;
}

}  // namespace lamina
