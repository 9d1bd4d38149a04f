// The side stream of any device that ATen knows streams for. It is written against c10's interface to devices
// and needs none of CUDA's headers.
#include "comm/side_stream.hpp"

#include <ATen/ATen.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <fmt/format.h>

#include <utility>

#include "comm/device_event.hpp"
#include "lamina/core/error.hpp"

namespace lamina {

namespace {

class DeviceStream final : public SideStream {
 public:
  explicit DeviceStream(at::Device device)
      : device_(device), backend_(device.type()), stream_(backend_.getStreamFromGlobalPool(device, true)) {}

  at::Device device() const override { return device_; }
  void* native_handle() const override { return stream_.native_handle(); }
  void enter_thread() const override { backend_.setDevice(device_); }

  StreamEventPtr record_current() const override {
    return std::make_shared<DeviceEvent>(backend_.getStream(device_));
  }
  StreamEventPtr record() override { return std::make_shared<DeviceEvent>(stream_); }
  void wait_for(const StreamEventPtr& event) override { DeviceEvent::block(stream_, event); }
  void block_current(const StreamEventPtr& event) const override {
    DeviceEvent::block(backend_.getStream(device_), event);
  }
  void run(std::function<void()> work) override {
    const c10::StreamGuard in_this_stream(stream_);
    work();
  }
  at::Tensor empty_on_host(std::int64_t num_bytes) const override {
    return at::empty({num_bytes}, at::TensorOptions(at::kByte).pinned_memory(true));
  }

 private:
  const at::Device device_;
  const c10::impl::VirtualGuardImpl backend_;
  const c10::Stream stream_;
};

}  // namespace

std::unique_ptr<SideStream> make_side_stream(at::Device device) {
  if (device.is_cpu() || !c10::impl::hasDeviceGuardImpl(device.type()))
    throw Error(ErrorKind::device, fmt::format("this build of Lamina has no streams on {}", device.str()));
  const int num_devices = c10::impl::VirtualGuardImpl(device.type()).deviceCount();
  if (device.index() < 0 || device.index() >= num_devices)
    throw Error(ErrorKind::device,
                fmt::format("expected one of {} devices of this host, found {}", num_devices, device.str()));
  return std::make_unique<DeviceStream>(device);
}

}  // namespace lamina
