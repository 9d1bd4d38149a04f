#pragma once

#include <memory>
#include <vector>

#include "comm/side_stream.hpp"
#include "lamina/comm/inprocess.hpp"

namespace lamina {

/// How threads of one process pass on tensors of a device while each computes in a stream of its own: the
/// tensors are passed on as soon as their computation has been given to the device, and it is the receiver's
/// stream that waits for it.
///
/// Threads  any.
class Handover {
 public:
  virtual ~Handover() = default;

  /// The point in the calling thread's stream behind which all is there that it has been given so far.
  virtual StreamEventPtr give() const = 0;

  /// What the calling thread's stream is given from now on begins behind `given`, and the tensors' memory is
  /// not used for anything else before it is done with them.
  virtual void take(const StreamEventPtr& given, const std::vector<at::Tensor>& tensors) const = 0;
};

/// On the CPU, where a thread computes what it is given at once, neither does anything.
std::shared_ptr<const Handover> make_handover(at::DeviceType device);

/// The in-process transports, with this way of handing tensors over.
std::vector<std::unique_ptr<Transport>> make_inprocess_transports(int num_workers, at::DeviceType device,
                                                                  std::shared_ptr<const Handover> handover);

}  // namespace lamina
