#include "lamina/comm/device.hpp"

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <fmt/format.h>

#include "lamina/core/error.hpp"

namespace lamina {

void require_device(at::Device device, int num_workers) {
  if (device.is_cpu()) return;
  if (!c10::impl::hasDeviceGuardImpl(device.type()))
    throw Error(ErrorKind::device,
                fmt::format("pipeline.device: this build of Lamina has no {}; launch/setup --gpu makes "
                            "one that has",
                            c10::DeviceTypeName(device.type(), /*lower_case=*/true)));
  const int found = c10::impl::VirtualGuardImpl(device.type()).deviceCount();
  if (found == 0)
    throw Error(
        ErrorKind::device,
        "pipeline.device: expected a GPU, found none: is its driver loaded (does nvidia-smi list it)?");
  if (found < num_workers)
    throw Error(
        ErrorKind::device,
        fmt::format("pipeline.device: expected a GPU for each of this host's {} workers, found {}: two ranks "
                    "cannot share one over NCCL; start fewer, or one process with transport inprocess",
                    num_workers, found));
}

double peak_device_mib(at::Device device) {
  if (device.is_cpu()) return 0;
  constexpr auto all = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const auto stats = c10::getDeviceAllocator(device.type())->getDeviceStats(device.index());
  return static_cast<double>(stats.allocated_bytes[all].peak) / (1 << 20);
}

}  // namespace lamina
