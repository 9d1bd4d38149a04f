#pragma once

#include <vector>

#include "comm/nccl_progress.hpp"
#include "comm/side_stream.hpp"
#include "lamina/comm/transport.hpp"

namespace lamina {

/// A message as NCCL carries it: a receive must know its size, so all have the size of the lane. Frame and
/// tensors lie behind one another and go by one call, since of a group NCCL lets the second call on a
/// connection wait for the first ones of both ways (src/README.md, "What NCCL is given, and when").
struct NcclCargo {
  at::Tensor frame_on_host;
  at::Tensor bytes;                 ///< all that travels
  std::vector<at::Tensor> tensors;  ///< in the memory of `bytes`, at the lane's largest

  /// A copy of the message, taken on the calling thread's current stream.
  static NcclCargo of(const Message& message, const LaneSpec& spec, const SideStream& stream);
  static NcclCargo empty(const LaneSpec& spec, const SideStream& stream);

  /// What is left to do on the stream before a send and behind a receive.
  void upload() const { frame().copy_(frame_on_host, /*non_blocking=*/true); }
  void download() const { frame_on_host.copy_(frame(), /*non_blocking=*/true); }

  /// The message that came, once it is on the host.
  Message message() const;

 private:
  at::Tensor frame() const { return bytes.narrow(0, 0, frame_on_host.numel()); }
};

}  // namespace lamina
