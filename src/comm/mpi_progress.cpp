#include "comm/mpi_progress.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <tuple>
#include <utility>

#include "comm/nap.hpp"
#include "lamina/comm/mpi.hpp"
#include "lamina/core/error.hpp"

namespace lamina {

namespace {

// Open MPI moves data only inside calls, so naps bound the speed of a body. Each poll takes some 10 us from
// the caller, who may have but this one core: while it computes instead of waiting, its headers are in no
// hurry.
constexpr Seconds longest_nap_while_computing(1e-3);

constexpr double farewell_limit_s = 5;
constexpr Seconds abort_grace(0.5);

std::string mpi_error_text(int code) {
  char text[MPI_MAX_ERROR_STRING];
  int size = 0;
  MPI_Error_string(code, text, &size);
  return std::string(text, static_cast<std::size_t>(size));
}

using Place = std::pair<int, int>;  // rank, and number of ranks

Place start_mpi() {
  int initialized = 0;
  MPI_Initialized(&initialized);
  if (initialized) throw Error(ErrorKind::device, "MPI can be started only once in a process");
  int provided = MPI_THREAD_SINGLE;
  const int code = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  if (code != MPI_SUCCESS || provided < MPI_THREAD_FUNNELED) {
    throw Error(ErrorKind::device,
                fmt::format("MPI_Init_thread: expected thread level {} or more, found {} and code {}",
                            static_cast<int>(MPI_THREAD_FUNNELED), provided, code));
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  Place place;
  MPI_Comm_rank(MPI_COMM_WORLD, &place.first);
  MPI_Comm_size(MPI_COMM_WORLD, &place.second);
  return place;
}

// MPI_Init returns once every rank has called it, so it may never return, and who waits for it gives it up:
// then nothing but this is left for the thread that is in it.
class Start {
 public:
  // The progress thread's part; false if it is not to go on.
  bool perform() {
    std::exception_ptr failure;
    Place place;
    try {
      place = start_mpi();
    } catch (...) {
      failure = std::current_exception();
    }
    if (is_decided_.exchange(true)) return false;
    failure ? place_.set_exception(failure) : place_.set_value(place);
    return !failure;
  }

  Place await(Seconds limit) {
    std::future<Place> place = place_.get_future();
    if (place.wait_for(for_a_wait(limit)) != std::future_status::ready) {
      is_given_up_ = !is_decided_.exchange(true);
      if (is_given_up_) {
        const MpiLaunch launch = mpi_launch();
        throw Error(ErrorKind::timeout,
                    fmt::format("worker {} waited {} s for MPI to start, but not all of {} workers have come "
                                "to MPI_Init",
                                launch.rank, limit.count(), launch.size));
      }
    }
    return place.get();
  }

  bool is_given_up() const { return is_given_up_; }

 private:
  std::promise<Place> place_;
  std::atomic<bool> is_decided_ = false;  // by the first of the two
  bool is_given_up_ = false;
};

}  // namespace

void check_mpi(int code, const char* call) {
  if (code != MPI_SUCCESS) {
    throw Error(ErrorKind::peer_lost, fmt::format("{} failed: {}", call, mpi_error_text(code)));
  }
}

MpiProgress::MpiProgress(std::shared_ptr<Bell> bell, Seconds start_limit) : bell_(std::move(bell)) {
  const auto start = std::make_shared<Start>();
  thread_ = std::thread([this, start] {
    if (start->perform()) run();
  });
  try {
    std::tie(rank_, size_) = start->await(start_limit);
  } catch (...) {
    start->is_given_up() ? thread_.detach() : thread_.join();
    throw;
  }
}

MpiProgress::~MpiProgress() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  thread_.join();
}

void MpiProgress::post(Job job) {
  const std::lock_guard lock(mutex_);
  jobs_.push_back(std::move(job));
  wake_.notify_all();
}

void MpiProgress::abort(int exit_code) {
  const std::lock_guard lock(mutex_);
  if (!abort_code_) abort_code_ = exit_code;
  wake_.notify_all();
}

void MpiProgress::run() {
  bool healthy = true;
  try {
    serve();
  } catch (const std::exception& error) {
    healthy = false;
    bell_->abort(as_error(error).what());
  }
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return stopping_ || abort_code_; });
  if (abort_code_) {
    // Whoever waits was woken with the reason; it speaks now, and may end the grace by the destructor.
    wake_.wait_for(lock, abort_grace, [this] { return stopping_; });
    MPI_Abort(MPI_COMM_WORLD, *abort_code_);
  }
  lock.unlock();
  if (healthy) leave();  // else the peers are not there to leave with
}

void MpiProgress::serve() {
  std::optional<Stopwatch> farewell;
  Seconds nap = shortest_nap;
  while (true) {
    std::vector<Job> jobs;
    {
      std::unique_lock lock(mutex_);
      const auto called = [&] { return !jobs_.empty() || abort_code_ || (stopping_ && !farewell); };
      if (transfers_.empty()) {
        wake_.wait(lock, called);
      } else {
        wake_.wait_for(lock, nap, called);
      }
      if (abort_code_) return;
      if (stopping_ && !farewell) farewell.emplace();
      jobs.swap(jobs_);
    }
    for (Job& job : jobs) job();
    const bool lively = poll() || !jobs.empty();
    const Seconds longest = bell_->has_waiters() ? longest_nap : longest_nap_while_computing;
    nap = lively ? shortest_nap : std::min(2 * nap, longest);
    if (farewell && (!sends_under_way() || farewell->elapsed_s() > farewell_limit_s)) return;
  }
}

bool MpiProgress::poll() {
  bool lively = false;
  for (auto transfer = transfers_.begin(); transfer != transfers_.end();) {
    const bool finished = advance(*transfer);
    lively = lively || transfer->header == MPI_REQUEST_NULL;
    transfer = finished ? transfers_.erase(transfer) : std::next(transfer);
  }
  return lively;
}

bool MpiProgress::advance(Transfer& transfer) {
  int through = 0;
  if (transfer.header != MPI_REQUEST_NULL) {
    check_mpi(MPI_Test(&transfer.header, &through, MPI_STATUS_IGNORE), "MPI_Test");
    if (!through) return false;
    if (transfer.matched) transfer.matched();
  }
  check_mpi(MPI_Testall(static_cast<int>(transfer.body.size()), transfer.body.data(), &through,
                        MPI_STATUSES_IGNORE),
            "MPI_Testall");
  if (through) transfer.finished();
  return through;
}

bool MpiProgress::sends_under_way() const {
  return std::any_of(transfers_.begin(), transfers_.end(),
                     [](const Transfer& transfer) { return transfer.kind == Transfer::Kind::send; });
}

void MpiProgress::leave() {
  // A worker may have posted a receive ahead that nobody will ever serve.
  for (Transfer& transfer : transfers_) {
    if (transfer.kind != Transfer::Kind::receive) continue;
    transfer.body.push_back(transfer.header);
    for (MPI_Request& request : transfer.body) {
      if (request == MPI_REQUEST_NULL) continue;
      MPI_Cancel(&request);
      MPI_Request_free(&request);
    }
  }
  MPI_Finalize();  // the buffers live until the destructor
}

}  // namespace lamina
