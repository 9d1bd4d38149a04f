#pragma once

#include <c10/core/Device.h>

#include <memory>
#include <string>

#include "lamina/comm/transport.hpp"

namespace lamina {

struct NcclOptions {
  /// Where this worker's tensors lie. No other worker of the job may use the same device.
  at::Device device{at::kCUDA, 0};
  /// How long open() waits for the other workers.
  Seconds open_limit{600};
  /// Whether sum() will be called. All workers say the same.
  bool sums = false;
  /// Whether a message to this worker may wait for what it computes from the message before (`lag: 0`). Then
  /// no receive is given to NCCL ahead: CUDA does not promise that kernels run beside one that waits.
  bool feeds_back = false;
};

/// The transport between processes that have a GPU each: messages travel over NCCL, and what is agreed on the
/// host, the gathers among it, over `host`, a transport between the same workers that has not been opened.
///
/// Order    NCCL has no tags: two workers receive from each other in the order of the sends, whatever the
/// lane.
///          It is also one queue: a send that has not been taken holds back what this worker calls after it.
///          So lanes do hold each other up here.
/// Flow     a receive that is posted ahead holds nothing back: it is given to NCCL once somebody waits for it
/// or
///          asks whether it is done, and at once where it cannot hold anything back, at a worker that neither
///          sends nor sums nor feeds back. Sends that are called while a receive is posted go with it in one
///          group, or without it before the next sum or gather, or once somebody asks after them; other sends
///          go at once. A send is done when its group has ended.
/// Blocking send() and receive() do not wait for the device: the caller's current stream is waited for by a
///          stream. A tensor that was sent must not be written to until the send is done.
/// Memory   every message is as large as its lane allows, and one buffer; what is sent is copied into it.
/// Failure  waits throw Error{peer_lost} or Error{device} with what NCCL said and who was waited for. A
/// worker
///          that dies in silence is noticed by the limit of a wait alone.
///
/// @throws Error{device} if Lamina was built without NCCL, or there is no such device; then the caller still
/// has `host`.
std::unique_ptr<Transport> make_nccl_transport(std::unique_ptr<Transport>&& host, NcclOptions options);

/// @throws Error{device} if Lamina was built without NCCL.
void require_nccl();

/// The version of the NCCL library, e.g. "2.30.7", or "none".
std::string nccl_version();

}  // namespace lamina
