#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>

namespace lamina {

/// A point in the work of a stream.
class StreamEvent {
 public:
  virtual ~StreamEvent() = default;
  /// Whether the stream has passed it. Never waits.
  virtual bool done() const = 0;
};
using StreamEventPtr = std::shared_ptr<const StreamEvent>;

/// A stream of work beside the one that computes: all that communication needs of a device.
///
/// On a GPU the stream is the device's own, and whatever is put into it returns at once. A host has no
/// streams, so where one is played there its thread does the work, and the calling thread itself is what
/// computes.
///
/// Threads  one thread at a time, but record_current(), block_current() and empty_on_host() from any.
/// Buffers  who allocates a buffer in the current stream and has this one use it gives this one an event of
/// the
///          current stream to wait for, and holds the buffer until an event of this one behind the use is
///          done.
class SideStream {
 public:
  virtual ~SideStream() = default;

  virtual at::Device device() const = 0;

  /// What a library for the device takes as this stream, e.g. a cudaStream_t.
  virtual void* native_handle() const = 0;

  /// Makes this stream's device the calling thread's, for libraries that look at that.
  virtual void enter_thread() const = 0;

  /// Done once what the calling thread's current stream has been given so far is done.
  virtual StreamEventPtr record_current() const = 0;

  /// Done once what this stream has been given so far is done.
  virtual StreamEventPtr record() = 0;

  /// What this stream is given from now on begins after `event`, one of record_current() or record().
  virtual void wait_for(const StreamEventPtr& event) = 0;

  /// What the calling thread's current stream is given from now on begins after `event`, one of record().
  virtual void block_current(const StreamEventPtr& event) const = 0;

  /// Gives this stream the ATen operations of `work`, which holds the tensors that it needs.
  virtual void run(std::function<void()> work) = 0;

  /// Memory on the host that copies to and from the device need not wait for.
  virtual at::Tensor empty_on_host(std::int64_t num_bytes) const = 0;
};

/// @throws Error{device} if there is no such device.
std::unique_ptr<SideStream> make_side_stream(at::Device device);

}  // namespace lamina
