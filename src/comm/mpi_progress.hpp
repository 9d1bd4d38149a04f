#pragma once

#include <mpi.h>

#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "comm/bell.hpp"
#include "lamina/core/clock.hpp"

namespace lamina {

/// What MPI moves for one message or collective: a header, which may be long in coming, and then a body,
/// which both ends hurry along. The callbacks keep the buffers alive.
struct Transfer {
  enum class Kind { send, receive, collective };
  Kind kind;
  MPI_Request header = MPI_REQUEST_NULL;
  std::vector<MPI_Request> body{};
  std::function<void()> matched{};  ///< called once the header is through; may be empty
  std::function<void()> finished;   ///< called once all of it is
};

/// Turns an MPI return code into an exception. @throws Error{peer_lost}
void check_mpi(int code, const char* call);

/// The one thread of this process that calls MPI, from MPI_Init to MPI_Finalize. It sleeps between polls.
///
/// Threads  post() and abort() from any thread; watch() from a job or a transfer's callback.
/// Errors   what a job or MPI throws aborts the bell with its text.
class MpiProgress {
 public:
  using Job = std::function<void()>;

  /// @throws Error{device} if MPI cannot start, or was started before; Error{timeout} if it has not started
  /// after `start_limit`, which leaves the thread behind.
  MpiProgress(std::shared_ptr<Bell> bell, Seconds start_limit);

  /// Gives sends under way a few seconds to be taken, then leaves MPI, or aborts it if that was asked for.
  ~MpiProgress();

  int rank() const { return rank_; }
  int size() const { return size_; }

  /// Has the thread run `job`, in the order of the posts.
  void post(Job job);

  void watch(Transfer transfer) { transfers_.push_back(std::move(transfer)); }

  /// Ends every process of the MPI job, soon: this process gets a moment to say why, or until the destructor.
  void abort(int exit_code);

 private:
  void run();
  void serve();
  bool poll();
  bool advance(Transfer& transfer);
  bool sends_under_way() const;
  void leave();

  const std::shared_ptr<Bell> bell_;
  int rank_ = 0;
  int size_ = 1;
  std::list<Transfer> transfers_;  // the thread's own, as its callbacks add to it

  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  std::vector<Job> jobs_;
  bool stopping_ = false;
  std::optional<int> abort_code_;

  std::thread thread_;
};

}  // namespace lamina
