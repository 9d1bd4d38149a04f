#include "lamina/data/loader.hpp"

#include <fmt/format.h>

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "data/batch_maker.hpp"
#include "data/random.hpp"
#include "lamina/core/error.hpp"

namespace lamina {

std::vector<std::int64_t> epoch_order(std::uint64_t seed, std::int64_t epoch, std::int64_t size) {
  return draw_permutation(random_stream(seed, RandomUse::order, epoch), size);
}

std::uint64_t seed_after_rollbacks(std::uint64_t seed, std::int64_t rollbacks) {
  if (rollbacks == 0) return seed;
  at::Philox4_32 engine = random_stream(seed, RandomUse::rollback, rollbacks);
  const std::uint64_t high = engine();
  return high << 32 | engine();
}

namespace {

using Order = std::shared_ptr<const std::vector<std::int64_t>>;

/// A batch, or why there is none. The thread that fills it lets go of the exception by handing it over under
/// the lock, so only take()'s thread ever ends its life.
struct Result {
  bool ready = false;
  Batch batch;
  std::exception_ptr error;
};

template <class Make>
Result result_of(Make make) {
  Result result{.ready = true, .batch = {}, .error = {}};
  try {
    result.batch = make();
  } catch (...) {
    result.error = std::current_exception();
  }
  return result;
}

/// What a thread does next: a batch to make, and the place in the queue where it goes.
struct Job {
  BatchRequest request;
  Order order;
  Result* place;
};

}  // namespace

struct Loader::State {
  State(DataSource source, const LoaderOptions& options_given,
        std::function<std::optional<BatchRequest>()> next_given)
      : options(options_given), next(std::move(next_given)), maker(std::move(source), options) {}

  ~State() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    changed.notify_all();
    for (std::thread& thread : threads) thread.join();
  }

  void work() {
    while (const std::optional<Job> job = next_job()) {
      Result result = result_of([&] { return maker.make(job->request, job->order.get()); });
      const std::lock_guard lock(mutex);
      *job->place = std::move(result);
      changed.notify_all();
    }
  }

  /// Waits for its turn and for room, asks for a request, and keeps a place in the queue for its batch.
  std::optional<Job> next_job() {
    const std::lock_guard turn(turn_mutex);
    if (!wait_for_room()) return std::nullopt;
    // `mutex` is free meanwhile: `next` may take its time, or locks of its own, while take() goes on.
    std::optional<Job> job;
    Result failure = result_of([&] {
      const std::optional<BatchRequest> request = next();
      if (request) job = Job{*request, order_of(*request), nullptr};
      return Batch();
    });
    const std::lock_guard lock(mutex);
    if (job) job->place = &queue.emplace_back();
    if (failure.error) queue.push_back(std::move(failure));
    exhausted = !job;
    changed.notify_all();
    return job;
  }

  /// False when there is nothing more to make.
  bool wait_for_room() {
    std::unique_lock lock(mutex);
    const auto room = static_cast<std::size_t>(options.ahead);
    changed.wait(lock, [&] { return stopping || exhausted || queue.size() < room; });
    return !stopping && !exhausted;
  }

  /// Requests come in order, so the order of the last epoch asked for is the only one worth keeping.
  Order order_of(const BatchRequest& request) {
    if (request.training && (!order || order_epoch != request.epoch)) {
      order = std::make_shared<const std::vector<std::int64_t>>(
          epoch_order(options.seed, request.epoch, maker.num_train()));
      order_epoch = request.epoch;
    }
    return order;
  }

  const LoaderOptions options;
  const std::function<std::optional<BatchRequest>()> next;
  const BatchMaker maker;

  std::mutex turn_mutex;  // held by the thread whose turn it is to ask for a request; guards the order
  Order order;
  std::int64_t order_epoch = 0;

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Result> queue;  // asked for and not yet taken, in the order of the requests; places stay put
  bool exhausted = false;
  bool stopping = false;

  std::vector<std::thread> threads;
};

Loader::Loader(DataSource source, LoaderOptions options, std::function<std::optional<BatchRequest>()> next) {
  if (options.threads < 1 || options.ahead < 1) {
    throw Error(ErrorKind::contract,
                fmt::format("loader: expected threads >= 1 and ahead >= 1, found {} and {}", options.threads,
                            options.ahead));
  }
  state_ = std::make_unique<State>(std::move(source), options, std::move(next));
  for (int i = 0; i < options.threads; ++i) {
    state_->threads.emplace_back([state = state_.get()] { state->work(); });
  }
}

Loader::~Loader() = default;

std::int64_t Loader::num_broken() const {
  return state_->maker.num_broken();
}

std::optional<Batch> Loader::take() {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  state.changed.wait(lock, [&] { return state.queue.empty() ? state.exhausted : state.queue.front().ready; });
  if (state.queue.empty()) return std::nullopt;
  Result result = std::move(state.queue.front());
  state.queue.pop_front();
  lock.unlock();
  state.changed.notify_all();
  if (result.error) std::rethrow_exception(result.error);
  return std::move(result.batch);
}

}  // namespace lamina
