#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lamina/core/clock.hpp"

namespace lamina {

/// What travels on a lane: a short text of bytes and the tensors that the lane was opened for.
///
/// A message is immutable once sent: in-process the receiver gets the very same storage. A tensor to be sent
/// is on the transport's device (the CPU but over NCCL), detached, dense in the lane's format, and aligned to
/// 64 bytes: clone a slice that is not.
struct Message {
  std::string header;               ///< opaque bytes, at most LaneSpec::header_capacity
  std::vector<at::Tensor> tensors;  ///< as LaneSpec::tensors; only the first dimension may be smaller, or 0
};

/// One tensor of a lane's messages at its largest.
struct LaneTensor {
  at::ScalarType dtype;
  std::vector<std::int64_t> sizes;  ///< the first is the largest sample count
  at::MemoryFormat format = at::MemoryFormat::Contiguous;
};

/// An ordered channel from one worker to another. Both ends open it with equal specs, in the same order.
struct LaneSpec {
  int from;
  int to;
  std::vector<LaneTensor> tensors;
  std::size_t header_capacity = 64 * 1024;
  /// Messages between the ends: one received ahead, buffers-1 sent and not yet received. At least 2.
  int buffers = 2;
};

/// A send under way.
class SendHandle {
 public:
  virtual ~SendHandle() = default;
  /// True once the receiver has taken the message over, i.e. its receive() matched this send.
  virtual bool done() const = 0;
  /// Waits until done. @throws Error{timeout} after `limit`; Error{peer_lost} once the transport is aborted.
  virtual void wait(Seconds limit) = 0;
};

/// A receive under way.
class ReceiveHandle {
 public:
  virtual ~ReceiveHandle() = default;
  virtual bool done() const = 0;
  /// Waits until the message is there and returns it. To be called once. Its tensors have the sizes that were
  /// sent, the lane's strides, and 64-byte alignment, whatever the backend.
  /// @throws Error{timeout} after `limit`; Error{peer_lost} once the transport is aborted.
  virtual Message wait(Seconds limit) = 0;
};

/// A sum over a group of workers under way.
class SumHandle {
 public:
  virtual ~SumHandle() = default;
  virtual bool done() const = 0;
  /// Waits until the values of all members are added and returns the sums, contiguous, shaped as the values.
  /// To be called once. They may be shared with other members: nobody writes to them.
  /// @throws Error{timeout} after `limit`; Error{peer_lost} once the transport is aborted.
  virtual std::vector<at::Tensor> wait(Seconds limit) = 0;
};

/// Ordered lanes of messages between workers, sums over groups of them, and the few collectives that start
/// and end a run.
///
/// Order     the n-th receive on a lane takes the n-th send. There are no tags, because NCCL has none. Lanes
///           do not hold each other up, but over NCCL (nccl.hpp).
/// Flow      at most buffers-1 sends of a lane may be outstanding: a send is outstanding until a receive has
///           been posted for it, over NCCL until it has been transferred. One more throws Error{contract};
///           wait for the oldest handle first.
/// Threads   each worker has a Transport of its own and calls it from one thread; abort() from any thread.
/// Blocking  send() and receive() never wait; handles wait with a limit; dropping a handle waits for nothing.
/// Failure   abort() makes everything in flight, here and at every peer, throw Error{peer_lost} with its
///           reason.
class Transport {
 public:
  virtual ~Transport() = default;

  virtual int worker() const = 0;
  virtual int num_workers() const = 0;

  /// Opens the lanes, numbered from 0 in this order. Collective, once, before any other call
  /// but all_gather(). Between processes it waits for all workers, for as long as the transport was told to
  /// wait for its start.
  /// @throws Error{contract} if the lanes are open already, one makes no sense, or another worker opens other
  /// lanes; Error{timeout}, Error{peer_lost}
  virtual void open(const std::vector<LaneSpec>& lanes) = 0;

  /// @throws Error{contract} if this worker is not the lane's `from` end, the message does not fit the lane's
  /// spec, or buffers-1 sends are outstanding.
  virtual std::unique_ptr<SendHandle> send(int lane, Message message) = 0;

  /// Posts one receive. At most one may be posted on a lane that has not been waited for.
  /// @throws Error{contract} if this worker is not the lane's `to` end, or a receive is already posted.
  virtual std::unique_ptr<ReceiveHandle> receive(int lane) = 0;

  /// Begins to add up `values` over the workers of `group`, which rise: ((v0 + v1) + v2) + ..., member by
  /// member in that order, so that all get the same bits, whatever the backend. The members call with equal
  /// groups and values of one type and of equal sizes, and all in the same order. Never waits; the values are
  /// not to be written to before the sum is done.
  /// @throws Error{contract} for a group without this worker, or values of several types.
  virtual std::unique_ptr<SumHandle> sum(const std::vector<int>& group,
                                         const std::vector<at::Tensor>& values) = 0;

  /// Every worker's text, by worker. Collective. @throws Error{timeout}, Error{peer_lost}
  virtual std::vector<std::string> all_gather(const std::string& text, Seconds limit) = 0;

  /// Fails everything in flight and everything to come, with `reason`, at every worker. Safe to call twice;
  /// the first reason stays. Where peers are other processes they may be ended by it with `exit_code`.
  virtual void abort(const std::string& reason, int exit_code) noexcept = 0;
};

}  // namespace lamina
