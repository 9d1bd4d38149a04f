#include "comm/message_frame.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cstdint>
#include <cstring>

#include "comm/lane_check.hpp"

namespace lamina {

namespace {

using WireInt = std::int64_t;

std::size_t checked(WireInt count, std::size_t most, const char* what) {
  if (count >= 0 && static_cast<std::size_t>(count) <= most) return static_cast<std::size_t>(count);
  refuse(fmt::format("a message's frame: expected at most {} {}, found {}", most, what, count));
}

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
  const std::size_t counts_bytes = counts.size() * sizeof(WireInt);
  if (frame.size() < counts_bytes)
    refuse(
        fmt::format("a message's frame: expected at least {} bytes, found {}", counts_bytes, frame.size()));
  std::memcpy(counts.data(), frame.data(), counts_bytes);
  frame.remove_prefix(counts_bytes);
  Message message{.header = std::string(frame.substr(0, checked(counts[0], frame.size(), "bytes of header"))),
                  .tensors = {}};
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    const auto room = static_cast<std::size_t>(buffers[i].size(0));
    message.tensors.push_back(
        buffers[i].narrow(0, 0, static_cast<WireInt>(checked(counts[i + 1], room, "samples"))));
  }
  return message;
}

}  // namespace lamina
