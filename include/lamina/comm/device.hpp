#pragma once

#include <c10/core/Device.h>

namespace lamina {

/// Checks that this process can compute on a device, as one of `num_workers` workers of its host that each
/// need one of their own.
/// @throws Error{device}: this build has no such devices, or the host has no driver, or too few of them.
void require_device(at::Device device, int num_workers);

/// The most that tensors of this process have taken of a device at once; 0 of the CPU.
double peak_device_mib(at::Device device);

}  // namespace lamina
