#include "stream.hpp"

#include <utility>

namespace nccl_standin {

namespace {

class StreamEvent final : public Event {
 public:
  bool done() const override {
    const std::lock_guard lock(mutex_);
    return done_;
  }
  void wait() const override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_; });
  }
  void complete() {
    const std::lock_guard lock(mutex_);
    done_ = true;
    changed_.notify_all();
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool done_ = false;
};

}  // namespace

Stream::~Stream() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void Stream::enqueue(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  work_.push_back(std::move(work));
  changed_.notify_all();
}

void Stream::run() {
  while (true) {
    std::function<void()> next;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return ending_ || !work_.empty(); });
      if (work_.empty()) return;
      next = std::move(work_.front());
      work_.pop_front();
    }
    next();
  }
}

cudaStream_t create_stream() {
  return reinterpret_cast<cudaStream_t>(new Stream);
}

void destroy_stream(cudaStream_t stream) {
  delete &Stream::of(stream);
}

void enqueue(cudaStream_t stream, std::function<void()> work) {
  Stream::of(stream).enqueue(std::move(work));
}

std::shared_ptr<const Event> record(cudaStream_t stream) {
  auto event = std::make_shared<StreamEvent>();
  enqueue(stream, [event] { event->complete(); });
  return event;
}

}  // namespace nccl_standin
