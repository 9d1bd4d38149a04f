// The side stream of a host, played by a stream of the NCCL stand-in. It takes the place of
// src/comm/side_stream.cpp where the stand-in is linked.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <utility>

#include "comm/side_stream.hpp"
#include "lamina/core/error.hpp"
#include "standin.hpp"

namespace lamina {

namespace {

struct HostEvent final : StreamEvent {
  explicit HostEvent(std::shared_ptr<const nccl_standin::Event> of_stream) : event(std::move(of_stream)) {}
  bool done() const override { return !event || event->done(); }
  std::shared_ptr<const nccl_standin::Event> event;  // none: passed from the beginning
};

class HostStream final : public SideStream {
 public:
  ~HostStream() override { nccl_standin::destroy_stream(stream_); }

  at::Device device() const override { return at::kCPU; }
  void* native_handle() const override { return stream_; }
  void enter_thread() const override {}
  // The caller computes by itself: what it was given it has done.
  StreamEventPtr record_current() const override { return std::make_shared<HostEvent>(nullptr); }
  StreamEventPtr record() override { return std::make_shared<HostEvent>(nccl_standin::record(stream_)); }
  void wait_for(const StreamEventPtr& event) override {
    nccl_standin::enqueue(stream_, [event = static_cast<const HostEvent&>(*event).event] {
      if (event) event->wait();
    });
  }
  void block_current(const StreamEventPtr& event) const override {
    static_cast<const HostEvent&>(*event).event->wait();
  }
  void run(std::function<void()> work) override { nccl_standin::enqueue(stream_, std::move(work)); }
  at::Tensor empty_on_host(std::int64_t num_bytes) const override {
    return at::empty({num_bytes}, at::dtype(at::kByte));
  }

 private:
  const cudaStream_t stream_ = nccl_standin::create_stream();
};

}  // namespace

std::unique_ptr<SideStream> make_side_stream(at::Device device) {
  if (!device.is_cpu())
    throw Error(ErrorKind::device,
                fmt::format("the NCCL stand-in has the CPU alone, found {}", device.str()));
  return std::make_unique<HostStream>();
}

}  // namespace lamina
