#pragma once

#include <nccl.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "comm/bell.hpp"
#include "comm/side_stream.hpp"
#include "lamina/core/clock.hpp"

namespace lamina {

/// One send or receive of a whole buffer, dense on the stream's device.
struct NcclCall {
  enum class Way { send, receive };
  Way way;
  int peer;
  at::Tensor buffer;
};

/// Some calls and what goes with them, all in the stream's order: what `after` waits for, `before`, the
/// calls, `behind`. It holds its buffers until that is done.
struct NcclTransfer {
  std::function<std::string()>
      missing;  ///< for errors: who has not done what, e.g. "worker 1 has not taken ..."
  std::vector<StreamEventPtr> after{};
  std::function<void()> before{};
  std::vector<NcclCall> calls{};
  std::function<void()> behind{};
  std::function<void()> finished{};  ///< called on the progress thread once all of it is done
};

/// Transfers that NCCL proceeds with at the same time, and that end together.
using NcclGroup = std::vector<NcclTransfer>;

/// The one thread of this process that calls NCCL, for the one communicator. It sleeps between polls.
///
/// Threads  post(), abort() and stream() from any thread; the rest from jobs.
/// Errors   what a job or NCCL throws aborts the communicator, and then the bell with its text; nothing is
/// given
///          to NCCL afterwards.
class NcclProgress {
 public:
  using Job = std::function<void()>;

  /// @throws Error{device} if there is no such device.
  NcclProgress(std::shared_ptr<Bell> bell, at::Device device);

  /// Gives what is under way a few seconds to end, then leaves the communicator, or aborts it.
  ~NcclProgress();

  SideStream& stream() { return *stream_; }

  /// Has the thread run `job`, in the order of the posts; dropped after an abort.
  void post(Job job);

  /// Aborts the communicator, soon.
  void abort();

  std::string make_id();
  void connect(const std::string& id, int num_ranks, int rank);

  /// Returns once the group is in the stream, which is at once where all its edges have been used before.
  void issue(NcclGroup group);

 private:
  struct UnderWay {
    NcclGroup group;
    StreamEventPtr end;
  };
  void run();
  void serve();
  bool poll();
  void add(const NcclCall& call, cudaStream_t stream);
  void settle(const char* call);
  bool must_leave() const;
  void fail(const Error& error);
  void leave();
  void abort_communicator();
  void check(ncclResult_t result, const char* call) const;

  const std::shared_ptr<Bell> bell_;
  std::deque<UnderWay> under_way_;  // oldest first; outlives the stream, which uses the buffers
  const std::unique_ptr<SideStream> stream_;
  ncclComm_t comm_ = nullptr;
  NcclGroup issuing_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  std::vector<Job> jobs_;
  std::optional<Stopwatch> farewell_;  // since the destructor's call
  bool aborting_ = false;

  std::thread thread_;
};

}  // namespace lamina
