#pragma once

#include <vector>

#include "comm/nccl_progress.hpp"
#include "comm/side_stream.hpp"
#include "lamina/comm/transport.hpp"

namespace lamina {

/// A message as NCCL carries it: a receive must know its counts, so all have the sizes of the lane.
struct NcclCargo {
  at::Tensor frame_on_host;
  at::Tensor frame;
  std::vector<at::Tensor> tensors;

  /// A smaller batch is padded, on the calling thread's current stream.
  static NcclCargo of(const Message& message, const LaneSpec& spec, const SideStream& stream);
  static NcclCargo empty(const LaneSpec& spec, const SideStream& stream);

  /// What is left to do on the stream before a send and behind a receive.
  void upload() const { frame.copy_(frame_on_host, /*non_blocking=*/true); }
  void download() const { frame_on_host.copy_(frame, /*non_blocking=*/true); }

  std::vector<NcclCall> calls(NcclCall::Way way, int peer) const;

  /// The message that came, once it is on the host.
  Message message() const;
};

}  // namespace lamina
