// What tests need of the NCCL stand-in beyond NCCL's own calls: streams, and faults on command.
#pragma once

#include <functional>
#include <memory>

#include "nccl.h"

namespace nccl_standin {

/// A point in a stream's work.
class Event {
 public:
  virtual ~Event() = default;
  virtual bool done() const = 0;
  virtual void wait() const = 0;
};

/// A stream is a thread that does its work in order.
cudaStream_t create_stream();

/// Waits until the stream has done its work.
void destroy_stream(cudaStream_t stream);

void enqueue(cudaStream_t stream, std::function<void()> work);

/// Done once everything is that was put into the stream before.
std::shared_ptr<const Event> record(cudaStream_t stream);

/// What goes wrong with a rank's communicators, from its n-th group on, counted from 0. A process reads it
/// from the variable NCCL_STANDIN_FAULT too, e.g. "stall 1 5": rank 1 stalls in its sixth group.
enum class FaultKind {
  none,
  stall,  ///< its groups stand still
  fail,   ///< an asynchronous error: ncclSystemError
  lose,   ///< its connections close, as if the process had died
};
struct Fault {
  FaultKind kind = FaultKind::none;
  int rank = 0;
  int group = 0;
};
void set_fault(Fault fault);

/// How often a call was refused because its communicator was gone, in this process.
int num_calls_after_the_end();

}  // namespace nccl_standin
