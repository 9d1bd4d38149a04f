#include "lamina/train/engine.hpp"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <future>
#include <mutex>
#include <numeric>
#include <thread>

#include "lamina/comm/device.hpp"
#include "lamina/comm/inprocess.hpp"
#include "lamina/comm/mpi.hpp"
#include "lamina/comm/nccl.hpp"
#include "lamina/comm/network.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/log.hpp"
#include "liveness.hpp"
#include "worker_run.hpp"

namespace lamina {
namespace {

// An exception of any kind as ours, with the worker that met it.
Error named(const std::exception& e, int worker) {
  const Error error = as_error(e);
  const bool of_the_device =
      dynamic_cast<const c10::OutOfMemoryError*>(&e) || dynamic_cast<const c10::AcceleratorError*>(&e);
  return Error(of_the_device ? ErrorKind::device : error.kind(),
               labelled(fmt::format("worker {}", worker), error.what()));
}

// Keeps the error that began it: what peers report of having been woken by abort() is only its echo.
class FirstError {
 public:
  /// The one that is kept.
  Error set(const Error& error) {
    const std::lock_guard lock(mutex_);
    if (!error_ || (error_->kind() == ErrorKind::peer_lost && error.kind() != ErrorKind::peer_lost))
      error_ = error;
    return *error_;
  }
  void rethrow() const {
    if (error_) throw *error_;
  }

 private:
  std::mutex mutex_;
  std::optional<Error> error_;
};

// One for all, or one each.
std::vector<std::shared_ptr<SnapshotBoard>> make_boards(const RunPlan& plan, const RunOptions& options) {
  std::vector<std::shared_ptr<SnapshotBoard>> boards;
  for (int w = 0; w < plan.num_workers(); ++w)
    boards.push_back(w == 0 || options.snapshots_over_tcp
                         ? std::make_shared<SnapshotBoard>(plan.snapshots.depth())
                         : boards.front());
  return boards;
}

std::string own_directory(const RunPlan& plan, const RunOptions& options) {
  return options.writes() ? plan.config.out : "";
}

std::optional<RunSummary> run_threads(const RunPlan& plan, const RunOptions& options) {
  std::vector<std::unique_ptr<Transport>> transports =
      make_inprocess_transports(plan.num_workers(), plan.device.type());
  const std::vector<std::shared_ptr<SnapshotBoard>> boards = make_boards(plan, options);
  FirstError first_error;
  std::optional<RunSummary> summary;
  std::vector<int> all(transports.size());
  std::iota(all.begin(), all.end(), 0);
  Liveness liveness(plan, own_directory(plan, options), all);
  const auto end = [&](const Error& error) {
    first_error.set(error);
    for (const auto& board : boards) board->close(error.what());
    transports.front()->abort(error.what(), error.exit_code());
  };
  liveness.watch([&](const Error& error) { return first_error.set(error); }, end);
  {
    std::vector<std::jthread> threads;
    for (int w = 0; w < plan.num_workers(); ++w)
      threads.emplace_back([&, w] {
        set_log_label(plan.num_workers() > 1 ? fmt::format("worker {}", w) : "");
        const auto tell = [&](const std::exception& e) { end(named(e, w)); };
        try {
          std::optional<RunSummary> mine =
              run_worker(plan, options, *transports[w], boards[w], liveness, tell);
          if (mine) summary = std::move(mine);
        } catch (const std::exception& e) {
          tell(e);
        }
      });
  }
  liveness.finish();
  first_error.rethrow();
  return summary;
}

// The longest from a worker's word of its error to its end.
constexpr std::chrono::seconds farewell{2};

[[noreturn]] void exit_after_farewell(int exit_code) {
  std::this_thread::sleep_for(farewell);
  std::_Exit(exit_code);
}

// Ends the whole job, while this worker takes down what it has, which may hang. The worker that met the error
// speaks; those that only lost a peer leave time for that, and speak if nobody has: a failure elsewhere ends
// in mpirun's request to stop. What the beats tell goes before either: they name who was lost, and where.
void end_job(Transport& transport, Liveness& liveness, const RunOptions& options, const Error& error) {
  const bool is_echo = error.kind() == ErrorKind::peer_lost;
  liveness.leave_the_end(Seconds(is_echo ? 2 : 0));
  if (!is_echo || !options.stop_requested()) log_error(error.what());
  if (!is_echo) liveness.tell_failure(error.exit_code());
  transport.abort(error.what(), error.exit_code());
  std::thread(exit_after_farewell, error.exit_code()).detach();
}

// MPI does not start: rank 0 may be the one that is missing, so everybody says so. A thread is still in MPI.
std::unique_ptr<Transport> start_mpi(Seconds limit) {
  try {
    return make_mpi_transport(limit);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::timeout) throw;
    log_error(error.what());
    std::_Exit(error.exit_code());
  }
}

// All workers leave MPI together. One that is stuck by now is missed by nobody else: the others' work is
// done. Where the system has no thread left for it, the caller still has the transport, to end the job by.
void leave(std::unique_ptr<Transport>& transport, Seconds limit) {
  std::promise<void> left;
  std::thread leaving([&] {
    transport.reset();
    left.set_value();
  });
  const std::future<void> all_gone = left.get_future();
  const auto are_gone_within = [&](Seconds time) {
    return all_gone.wait_for(time) == std::future_status::ready;
  };
  // Who was itself stopped meanwhile finds the time over, and needs a moment.
  if (!are_gone_within(for_a_wait(limit)) && !are_gone_within(Seconds(1))) {
    const Error error(
        ErrorKind::timeout,
        fmt::format("worker {} has done its work, and waited {} s for all of {} workers to leave MPI",
                    mpi_launch().rank, limit.count(), mpi_launch().size));
    log_error(error.what());
    std::_Exit(error.exit_code());
  }
  leaving.join();
}

bool has_replicas(const RunPlan& plan) {
  return std::any_of(plan.groups.begin(), plan.groups.end(),
                     [](const WorkerGroup& group) { return group.replicas > 1; });
}

std::optional<RunSummary> run_rank(const RunPlan& plan, const RunOptions& options) {
  const Seconds limit(plan.config.pipeline.timeout_s);
  set_log_label(fmt::format("worker {}", mpi_launch().rank));
  std::unique_ptr<Transport> transport = start_mpi(limit);
  Liveness liveness(plan, own_directory(plan, options), {transport->worker()});
  int exit_code = 0;  // once the job is being ended
  const auto tell = [&](const std::exception& e) {
    if (exit_code != 0) return;
    const Error error = named(e, transport->worker());
    exit_code = error.exit_code();
    end_job(*transport, liveness, options, error);
  };
  try {
    if (plan.over_nccl)
      transport = make_nccl_transport(std::move(transport),
                                      {.device = plan.device,
                                       .open_limit = limit,
                                       .sums = has_replicas(plan),
                                       .feeds_back = feeds_back(plan.play_options().snapshots)});
    std::optional<RunSummary> summary = run_worker(
        plan, options, *transport, std::make_shared<SnapshotBoard>(plan.snapshots.depth()), liveness, tell);
    leave(transport, limit);
    return summary;
  } catch (const std::exception& e) {
    tell(e);
    exit_after_farewell(exit_code);
  }
}

}  // namespace

std::optional<RunSummary> run(const RunPlan& plan, const RunOptions& options) {
  // Before MPI starts, which would have to be ended as well.
  require_device(plan.device, plan.devices_needed);
  if (plan.over_nccl) require_nccl();
  if (plan.over_mpi) require_interfaces(plan.over_nccl);
  return plan.over_mpi ? run_rank(plan, options) : run_threads(plan, options);
}

}  // namespace lamina
