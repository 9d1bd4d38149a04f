#pragma once

#include <c10/core/Device.h>
#include <c10/core/StreamGuard.h>

#include <optional>

#include <string>

namespace lamina {

/// The device of a rank, by its number among those of its host: a device each, in their order. Where a
/// launcher shows each rank one of its own (CUDA_VISIBLE_DEVICES), that is the first for all.
at::Device device_of_rank(at::DeviceType type, int local_rank);

/// Checks that this process can compute on a device, as one of `num_workers` workers of its host that each
/// need one of their own.
/// Whether a launcher has shown several ranks the same is not seen here; see require_own_devices().
/// @throws Error{device}: this build has no such devices, or the host has no driver, or too few of them.
void require_device(at::Device device, int num_workers);

/// While it lives, the calling thread computes on this device, and on a GPU in a stream of its own, so that
/// threads that share the GPU do not wait for one another. What another thread made has to be handed over: by
/// the in-process transport, or by waiting for the device.
class OwnStream {
 public:
  explicit OwnStream(at::Device device);

 private:
  std::optional<c10::StreamGuard> in_stream_;
};

/// Blocks until the device has done what the calling thread has given it; of the CPU nothing is left to do.
void wait_for(at::Device device);

/// The most that tensors of this process have taken of a device at once; 0 of the CPU.
double peak_device_mib(at::Device device);

/// Where a GPU is, e.g. "0000:81:00.0"; empty for the CPU. @throws Error{device} if the driver does not tell.
std::string pci_bus_id(at::Device device);

}  // namespace lamina
