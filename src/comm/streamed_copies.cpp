#include "comm/streamed_copies.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "comm/nap.hpp"
#include "lamina/core/clock.hpp"

namespace lamina {

namespace {

constexpr std::size_t most_under_way = 4;  // calls; a host that copies so slowly holds its worker up

at::Tensor empty_on_host_like(const at::Tensor& tensor, const SideStream& stream) {
  return stream.empty_on_host(static_cast<std::int64_t>(tensor.nbytes()))
      .view(tensor.scalar_type())
      .as_strided(tensor.sizes(), tensor.strides());
}

std::function<void()> copies_of(std::vector<at::Tensor> from, std::vector<at::Tensor> to) {
  return [from = std::move(from), to = std::move(to)] {
    const at::NoGradGuard no_grad;
    for (std::size_t i = 0; i < from.size(); ++i) to[i].copy_(from[i], /*non_blocking=*/true);
  };
}

class StreamedCopies final : public HostCopies {
 public:
  explicit StreamedCopies(std::unique_ptr<SideStream> stream) : stream_(std::move(stream)) {
    thread_ = std::thread([this] { serve(); });
  }

  ~StreamedCopies() override {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
      changed_.notify_all();
    }
    thread_.join();
  }

  // The copy within the device is in the stream that computes, so whoever writes to the tensors next does so
  // behind it. Were the tensors themselves read by the side stream, every update would have to wait for it.
  void download(const std::vector<at::Tensor>& tensors, Done done, std::vector<at::Tensor> into) override {
    wait_until([this] { return under_way_.size() < most_under_way; });
    UnderWay copy{.held = {}, .on_host = std::move(into), .end = nullptr, .done = std::move(done)};
    for (const at::Tensor& tensor : tensors) copy.held.push_back(tensor.detach().clone());
    if (copy.on_host.empty())
      for (const at::Tensor& tensor : copy.held) copy.on_host.push_back(empty_on_host_like(tensor, *stream_));
    stream_->wait_for(stream_->record_current());
    stream_->run(copies_of(copy.held, copy.on_host));
    copy.end = stream_->record();
    const std::lock_guard lock(mutex_);
    under_way_.push_back(std::move(copy));
    changed_.notify_all();
  }

  void upload(const std::vector<at::Tensor>& from, const std::vector<at::Tensor>& to) override {
    stream_->wait_for(stream_->record_current());
    stream_->run(copies_of(from, to));
    stream_->block_current(stream_->record());
  }

  void finish() override {
    wait_until([this] { return under_way_.empty(); });
  }

 private:
  // Held until its end: the device's memory because another stream uses it than the one that took it.
  struct UnderWay {
    std::vector<at::Tensor> held;
    std::vector<at::Tensor> on_host;
    StreamEventPtr end;
    Done done;
  };

  template <class Ready>
  void wait_until(Ready ready) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return error_ || ready(); });
    if (error_) std::rethrow_exception(error_);
  }

  void serve() {
    try {
      while (UnderWay* copy = next()) {
        copy->done(std::move(copy->on_host));
        const std::lock_guard lock(mutex_);
        under_way_.pop_front();
        changed_.notify_all();
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      error_ = std::current_exception();
      changed_.notify_all();
    }
  }

  // The oldest copy once it is there; nullptr at the end.
  UnderWay* next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ending_ || !under_way_.empty(); });
    for (Seconds nap = shortest_nap; !ending_; nap = std::min(2 * nap, longest_nap)) {
      UnderWay& oldest = under_way_.front();  // a deque's ends move no other element
      if (oldest.end->done()) return &oldest;
      changed_.wait_for(lock, nap, [this] { return ending_; });
    }
    return nullptr;
  }

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<UnderWay> under_way_;  // oldest first; outlives the stream, which uses the memory
  std::exception_ptr error_;
  bool ending_ = false;

  const std::unique_ptr<SideStream> stream_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<HostCopies> make_streamed_copies(std::unique_ptr<SideStream> stream) {
  return std::make_unique<StreamedCopies>(std::move(stream));
}

}  // namespace lamina
