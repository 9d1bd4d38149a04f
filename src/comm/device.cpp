#include "lamina/comm/device.hpp"

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <fmt/format.h>

#include <cstdlib>

#include "lamina/core/error.hpp"
#include "lamina/core/process.hpp"

namespace lamina {

namespace {

int num_devices(at::DeviceType type) {
  return c10::impl::hasDeviceGuardImpl(type) ? c10::impl::VirtualGuardImpl(type).deviceCount() : 0;
}

bool each_rank_is_shown_one(at::DeviceType type) {
  return num_devices(type) == 1 && std::getenv("CUDA_VISIBLE_DEVICES");
}

}  // namespace

at::Device device_of_rank(at::DeviceType type, int local_rank) {
  return {type, static_cast<at::DeviceIndex>(each_rank_is_shown_one(type) ? 0 : local_rank)};
}

void require_device(at::Device device, int num_workers) {
  if (device.is_cpu()) return;
  if (!c10::impl::hasDeviceGuardImpl(device.type()))
    throw Error(ErrorKind::device,
                fmt::format("pipeline.device: this build of Lamina has no {}; launch/setup --gpu makes "
                            "one that has",
                            c10::DeviceTypeName(device.type(), /*lower_case=*/true)));
  const int found = num_devices(device.type());
  if (found == 0)
    throw Error(
        ErrorKind::device,
        "pipeline.device: expected a GPU, found none: is its driver loaded (does nvidia-smi list it)?");
  if (found < num_workers && !each_rank_is_shown_one(device.type()))
    throw Error(
        ErrorKind::device,
        fmt::format("pipeline.device: expected a GPU for each of this host's {} workers, found {}: two ranks "
                    "cannot share one over NCCL; start fewer, or one process with transport inprocess",
                    num_workers, found));
}

OwnStream::OwnStream(at::Device device) {
  if (device.is_cpu()) return;
  const c10::impl::VirtualGuardImpl backend(device.type());
  in_stream_.emplace(backend.getStreamFromGlobalPool(device, /*isHighPriority=*/false));
}

void wait_for(at::Device device) {
  if (device.is_cpu()) return;
  const c10::impl::VirtualGuardImpl backend(device.type());
  backend.synchronizeStream(backend.getStream(device));
}

double peak_device_mib(at::Device device) {
  if (device.is_cpu()) return 0;
  constexpr auto all = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const auto stats = c10::getDeviceAllocator(device.type())->getDeviceStats(device.index());
  return static_cast<double>(stats.allocated_bytes[all].peak) / mib;
}

}  // namespace lamina
