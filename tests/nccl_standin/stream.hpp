#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "standin.hpp"

namespace nccl_standin {

class Stream {
 public:
  Stream() : thread_([this] { run(); }) {}
  ~Stream();

  void enqueue(std::function<void()> work);

  static Stream& of(cudaStream_t handle) { return *reinterpret_cast<Stream*>(handle); }

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> work_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace nccl_standin
