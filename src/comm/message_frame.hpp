#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "lamina/comm/transport.hpp"

namespace lamina {

/// What goes over the wire in front of a message's tensors: the header's size, each tensor's sample count,
/// the header. Both ends have the same integers, as MPI and NCCL require anyway.
std::size_t frame_bytes(std::size_t num_tensors, std::size_t header_size);
std::string pack_frame(const Message& message);

/// The message of a frame, which may have bytes behind it that mean nothing. `buffers` are the lane's tensors
/// at their largest; the message gets the samples that came.
Message unpack_frame(std::string_view frame, const std::vector<at::Tensor>& buffers);

}  // namespace lamina
