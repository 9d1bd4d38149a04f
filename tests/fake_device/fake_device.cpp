#include "fake_device.hpp"

#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/TensorShape.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "standin.hpp"

namespace fake_device {

namespace {

using EventPtr = std::shared_ptr<const nccl_standin::Event>;
using Clock = std::chrono::steady_clock;

// A point in a stream, and when the stream passed it.
struct Point {
  explicit Point(cudaStream_t stream) {
    nccl_standin::enqueue(stream, [time = time] { *time = Clock::now(); });
    event = nccl_standin::record(stream);
  }
  std::shared_ptr<Clock::time_point> time = std::make_shared<Clock::time_point>();
  EventPtr event;
};
Point& point(void* event) {
  return *static_cast<Point*>(event);
}

// Streams by their number; 0 is the default one. They live as long as the process.
class Streams {
 public:
  cudaStream_t at(c10::StreamId id) {
    const std::lock_guard lock(mutex_);
    return all_.at(static_cast<std::size_t>(id));
  }
  c10::StreamId add() {
    const std::lock_guard lock(mutex_);
    all_.push_back(nccl_standin::create_stream());
    return static_cast<c10::StreamId>(all_.size() - 1);
  }
  static Streams& all() {
    static Streams* const streams = new Streams;
    return *streams;
  }

 private:
  Streams() { add(); }
  std::mutex mutex_;
  std::deque<cudaStream_t> all_;
};

thread_local c10::StreamId current = 0;

c10::Stream stream(c10::StreamId id) {
  return c10::Stream(c10::Stream::UNSAFE, device, id);
}
cudaStream_t thread_of(const c10::Stream& stream) {
  return Streams::all().at(stream.id());
}
cudaStream_t current_thread() {
  return Streams::all().at(current);
}

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return device.type(); }
  c10::Device exchangeDevice(c10::Device) const override { return device; }
  c10::Device getDevice() const override { return device; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }

  c10::Stream getStream(c10::Device) const override { return stream(current); }
  c10::Stream getDefaultStream(c10::Device) const override { return stream(0); }
  c10::Stream getStreamFromGlobalPool(c10::Device, bool) const override {
    return stream(Streams::all().add());
  }
  c10::Stream exchangeStream(c10::Stream next) const override {
    return stream(std::exchange(current, next.id()));
  }
  void* getStreamNativeHandle(const c10::Stream of) const override { return thread_of(of); }
  void synchronizeStream(const c10::Stream& of) const override {
    nccl_standin::record(thread_of(of))->wait();
  }

  void record(void** event, const c10::Stream& of, c10::DeviceIndex, c10::EventFlag) const override {
    delete static_cast<Point*>(*event);
    *event = new Point(thread_of(of));
  }
  void block(void* event, const c10::Stream& of) const override {
    nccl_standin::enqueue(thread_of(of), [awaited = point(event).event] { awaited->wait(); });
  }
  bool queryEvent(void* event) const override { return point(event).event->done(); }
  void synchronizeEvent(void* event) const override { point(event).event->wait(); }
  void destroyEvent(void* event, c10::DeviceIndex) const noexcept override {
    delete static_cast<Point*>(event);
  }
  double elapsedTime(void* first, void* second, c10::DeviceIndex) const override {
    return std::chrono::duration<double, std::milli>(*point(second).time - *point(first).time).count();
  }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

// Memory in the turn of the stream that was current when it was allocated.
struct Block {
  void* memory;
  std::size_t num_bytes;
  c10::StreamId home;
  std::set<c10::StreamId> users{};  // recorded, with the lock of `recording` held

  // Several receivers of one tensor record it at a time.
  static std::mutex& recording() {
    static std::mutex mutex;
    return mutex;
  }
};

// Not freed: who reads it too late is to see it, not to crash.
void keep(void* memory) {
  static std::mutex mutex;
  static auto* const kept = new std::vector<void*>;
  const std::lock_guard lock(mutex);
  kept->push_back(memory);
}

void free_block(void* context) {
  const std::unique_ptr<Block> block(static_cast<Block*>(context));
  std::vector<EventPtr> last_uses;
  for (const c10::StreamId user : block->users)
    last_uses.push_back(nccl_standin::record(Streams::all().at(user)));
  nccl_standin::enqueue(Streams::all().at(block->home), [memory = block->memory, num_bytes = block->num_bytes,
                                                         last_uses = std::move(last_uses)] {
    for (const EventPtr& use : last_uses) use->wait();
    std::memset(memory, 0xff, num_bytes);
    keep(memory);
  });
}

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(std::size_t num_bytes) override {
    void* const memory = std::aligned_alloc(64, (num_bytes + 63) / 64 * 64 + 64);
    return {memory, new Block{memory, num_bytes, current}, &free_block, device};
  }
  void copy_data(void* to, const void* from, std::size_t num_bytes) const override {
    std::memcpy(to, from, num_bytes);
  }
};
Allocator allocator;
const auto registered = [] {
  c10::SetAllocator(device.type(), &allocator);
  return true;
}();

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  at::Allocator* getPinnedMemoryAllocator() const override { return c10::GetCPUAllocator(); }
};
const auto hooked = [] {
  c10::register_privateuse1_backend("fake");
  at::RegisterPrivateUse1HooksInterface(new Hooks);
  return true;
}();

at::Tensor empty(c10::SymIntArrayRef sizes, std::optional<at::ScalarType> type, std::optional<at::Layout>,
                 std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(C10_AS_INTARRAYREF_SLOW(sizes), &allocator,
                                   c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                   type.value_or(at::kFloat), format);
}

at::Tensor empty_strided(c10::SymIntArrayRef sizes, c10::SymIntArrayRef strides,
                         std::optional<at::ScalarType> type, std::optional<at::Layout>,
                         std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(C10_AS_INTARRAYREF_SLOW(sizes), C10_AS_INTARRAYREF_SLOW(strides),
                                           &allocator, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                           type.value_or(at::kFloat));
}

at::Tensor as_strided(const at::Tensor& self, c10::SymIntArrayRef sizes, c10::SymIntArrayRef strides,
                      std::optional<c10::SymInt> offset) {
  return at::native::as_strided_tensorimpl(
      self, C10_AS_INTARRAYREF_SLOW(sizes), C10_AS_INTARRAYREF_SLOW(strides),
      offset ? std::optional<std::int64_t>(offset->expect_int()) : std::nullopt);
}

// The same values as a tensor of the host. It keeps the device's memory no longer than a kernel would, but
// the host's, as an allocator of pinned memory does until the copy is done.
at::Tensor on_host(const at::Tensor& tensor) {
  if (tensor.is_cpu()) return tensor;
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), at::dtype(tensor.scalar_type()));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  enqueue([from = on_host(from), to = on_host(to)] {
    const at::NoGradGuard no_grad;
    at::Tensor(to).copy_(from);
  });
  if (!non_blocking && (from.is_cpu() || to.is_cpu())) synchronize();
  return to;
}

void foreach_add(at::TensorList sums, at::TensorList values, const at::Scalar&) {
  for (std::size_t i = 0; i < sums.size(); ++i)
    enqueue([sum = on_host(sums[i]), value = on_host(values[i])] {
      const at::NoGradGuard no_grad;
      at::Tensor(sum).add_(value);
    });
}

void record_stream(at::Tensor& self, c10::Stream user) {
  const std::lock_guard lock(Block::recording());
  static_cast<Block*>(self.storage().data_ptr().get_context())->users.insert(user.id());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("as_strided", as_strided);
  m.impl("_copy_from", copy_from);
  m.impl("_foreach_add_.List", foreach_add);
  m.impl("record_stream", record_stream);
}

}  // namespace

void enqueue(std::function<void()> work) {
  nccl_standin::enqueue(current_thread(), std::move(work));
}

void synchronize() {
  nccl_standin::record(current_thread())->wait();
}

}  // namespace fake_device
