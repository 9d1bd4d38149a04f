#include "comm/nccl_progress.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "comm/nap.hpp"
#include "lamina/core/error.hpp"

namespace lamina {

namespace {

constexpr double farewell_limit_s = 5;
// NCCL takes less to put a group into the stream, unless it has to wait for somebody.
constexpr double soon_s = 100e-6;

ErrorKind kind_of(ncclResult_t result) {
  switch (result) {
    case ncclRemoteError:
      return ErrorKind::peer_lost;
    case ncclInvalidArgument:
    case ncclInvalidUsage:
      return ErrorKind::contract;
    default:
      return ErrorKind::device;
  }
}

std::string missing(const NcclGroup& group) {
  std::string text;
  for (const NcclTransfer& transfer : group) text += "; " + transfer.missing();
  return text;
}

}  // namespace

NcclProgress::NcclProgress(std::shared_ptr<Bell> bell, at::Device device)
    : bell_(std::move(bell)), stream_(make_side_stream(device)) {
  thread_ = std::thread([this] { run(); });
}

NcclProgress::~NcclProgress() {
  {
    const std::lock_guard lock(mutex_);
    farewell_.emplace();
    wake_.notify_all();
  }
  thread_.join();
}

void NcclProgress::post(Job job) {
  const std::lock_guard lock(mutex_);
  jobs_.push_back(std::move(job));
  wake_.notify_all();
}

void NcclProgress::abort() {
  const std::lock_guard lock(mutex_);
  aborting_ = true;
  wake_.notify_all();
}

void NcclProgress::run() {
  try {
    stream_->enter_thread();
    serve();
    leave();
  } catch (const Error& error) {
    fail(error);
  } catch (const std::exception& error) {
    fail(Error(ErrorKind::device, as_error(error).what()));
  }
}

void NcclProgress::serve() {
  Seconds nap = shortest_nap;
  while (true) {
    std::vector<Job> jobs;
    {
      std::unique_lock lock(mutex_);
      const auto called = [&] { return !jobs_.empty() || aborting_ || (farewell_ && under_way_.empty()); };
      if (under_way_.empty()) {
        wake_.wait(lock, called);
      } else {
        wake_.wait_for(lock, nap, called);
      }
      if (must_leave() || (farewell_ && under_way_.empty() && jobs_.empty())) return;
      jobs.swap(jobs_);
    }
    for (Job& job : jobs) job();
    const bool lively = poll() || !jobs.empty();
    nap = lively ? shortest_nap : std::min(2 * nap, longest_nap);
  }
}

bool NcclProgress::must_leave() const {
  return aborting_ || (farewell_ && farewell_->elapsed_s() > farewell_limit_s);
}

bool NcclProgress::poll() {
  if (under_way_.empty()) return false;
  ncclResult_t state = ncclSuccess;
  check(ncclCommGetAsyncError(comm_, &state), "ncclCommGetAsyncError");
  check(state, "NCCL");
  bool lively = false;
  while (!under_way_.empty() && under_way_.front().end->done()) {
    const UnderWay done = std::move(under_way_.front());
    under_way_.pop_front();
    for (const NcclTransfer& transfer : done.group)
      if (transfer.finished) transfer.finished();
    lively = true;
  }
  return lively;
}

// A non-blocking call has taken place only once the communicator says so.
void NcclProgress::settle(const char* call) {
  const Stopwatch watch;
  Seconds nap = shortest_nap;
  while (true) {
    ncclResult_t state = ncclSuccess;
    check(ncclCommGetAsyncError(comm_, &state), "ncclCommGetAsyncError");
    if (state != ncclInProgress) return check(state, call);
    if (watch.elapsed_s() < soon_s) {
      std::this_thread::yield();
      continue;
    }
    std::unique_lock lock(mutex_);
    if (wake_.wait_for(lock, nap, [this] { return must_leave(); }))
      throw Error(ErrorKind::peer_lost, fmt::format("{} was given up", call));
    nap = std::min(2 * nap, longest_nap);
  }
}

std::string NcclProgress::make_id() {
  ncclUniqueId id;
  check(ncclGetUniqueId(&id), "ncclGetUniqueId");
  return std::string(id.internal, sizeof id.internal);
}

void NcclProgress::connect(const std::string& id, int num_ranks, int rank) {
  ncclUniqueId unique;
  std::memcpy(unique.internal, id.data(), sizeof unique.internal);
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  check(ncclCommInitRankConfig(&comm_, num_ranks, unique, rank, &config), "ncclCommInitRankConfig");
  settle("ncclCommInitRankConfig");
}

void NcclProgress::issue(NcclGroup group) {
  issuing_ = std::move(group);
  const auto stream = static_cast<cudaStream_t>(stream_->native_handle());
  for (const NcclTransfer& transfer : issuing_) {
    for (const StreamEventPtr& event : transfer.after) stream_->wait_for(event);
    if (transfer.before) stream_->run(transfer.before);
  }
  check(ncclGroupStart(), "ncclGroupStart");
  try {
    for (const NcclTransfer& transfer : issuing_)
      for (const NcclCall& call : transfer.calls) add(call, stream);
  } catch (...) {
    ncclGroupEnd();  // within an open group an abort would be put off for good
    throw;
  }
  check(ncclGroupEnd(), "ncclGroupEnd");
  settle("ncclGroupEnd");
  for (const NcclTransfer& transfer : issuing_)
    if (transfer.behind) stream_->run(transfer.behind);
  under_way_.push_back({std::exchange(issuing_, {}), stream_->record()});
}

void NcclProgress::add(const NcclCall& call, cudaStream_t stream) {
  const at::Tensor& buffer = call.buffer;
  if (buffer.nbytes() == 0) return;  // at both ends
  if (call.way == NcclCall::Way::send) {
    check(ncclSend(buffer.const_data_ptr(), buffer.nbytes(), ncclUint8, call.peer, comm_, stream),
          "ncclSend");
  } else {
    check(ncclRecv(buffer.mutable_data_ptr(), buffer.nbytes(), ncclUint8, call.peer, comm_, stream),
          "ncclRecv");
  }
}

void NcclProgress::check(ncclResult_t result, const char* call) const {
  if (result == ncclSuccess || result == ncclInProgress) return;
  const std::string detail = on_one_line(ncclGetLastError(comm_));
  throw Error(kind_of(result), fmt::format("{}: {}{}{}", call, ncclGetErrorString(result),
                                           detail.empty() ? "" : ": ", detail));
}

// The stream stands still after an error, and its buffers are kept until the destructor.
void NcclProgress::fail(const Error& error) {
  std::string text = error.what();
  for (const UnderWay& under_way : under_way_) text += missing(under_way.group);
  text += missing(issuing_);
  abort_communicator();
  bell_->abort(text, error.kind());
}

void NcclProgress::leave() {
  if (!comm_) return;
  const bool is_idle = under_way_.empty();
  {
    const std::lock_guard lock(mutex_);
    if (aborting_ || !is_idle) return abort_communicator();
  }
  check(ncclCommFinalize(comm_), "ncclCommFinalize");
  settle("ncclCommFinalize");
  check(ncclCommDestroy(std::exchange(comm_, nullptr)), "ncclCommDestroy");
}

void NcclProgress::abort_communicator() {
  if (comm_) ncclCommAbort(std::exchange(comm_, nullptr));
}

}  // namespace lamina
