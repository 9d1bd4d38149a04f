#include "comm/handover.hpp"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "comm/device_event.hpp"

namespace lamina {

namespace {

struct HostHandover final : Handover {
  StreamEventPtr give() const override { return nullptr; }
  void take(const StreamEventPtr&, const std::vector<at::Tensor>&) const override {}
};

class DeviceHandover final : public Handover {
 public:
  explicit DeviceHandover(at::DeviceType device) : backend_(device) {}

  StreamEventPtr give() const override { return std::make_shared<DeviceEvent>(current()); }

  void take(const StreamEventPtr& given, const std::vector<at::Tensor>& tensors) const override {
    const c10::Stream stream = current();
    DeviceEvent::block(stream, given);
    for (const at::Tensor& tensor : tensors) tensor.record_stream(stream);
  }

 private:
  c10::Stream current() const { return backend_.getStream(backend_.getDevice()); }

  const c10::impl::VirtualGuardImpl backend_;
};

}  // namespace

std::shared_ptr<const Handover> make_handover(at::DeviceType device) {
  if (device == at::kCPU) return std::make_shared<HostHandover>();
  return std::make_shared<DeviceHandover>(device);
}

}  // namespace lamina
