#include "liveness.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "lamina/core/log.hpp"
#include "lamina/train/stop_request.hpp"
#include "last_words.hpp"

namespace lamina {
namespace {

// Before those who wait give up by themselves: they would not know of whom.
constexpr double share_of_timeout = 0.8;
constexpr double slow_share_of_timeout = 0.25;
constexpr Seconds longest_interval{1};
constexpr Seconds shortest_interval{0.01};
constexpr Seconds patience_with_threads{10};   // that the end has woken
constexpr Seconds patience_with_a_job{1};      // that has been aborted
constexpr Seconds patience_with_words{15};     // of the other processes; stacks take a while
constexpr Seconds patience_without_center{2};  // with the others, who find out by themselves
constexpr Seconds patience_with_a_failed{3};   // worker, which ends the job itself
constexpr LifeLimits no_limits{.slow = Seconds(std::numeric_limits<double>::infinity()),
                               .limit = Seconds(std::numeric_limits<double>::infinity())};

WorkerBeat look_at(const ActionBoard& board, int exit_code) {
  const auto [where, moves] = board.read();
  const Doing doing = where.activity == Activity::idle ? Doing::rest
                      : waits_for_peer(where)          ? Doing::wait
                                                       : Doing::work;
  return {.beat = {.moves = moves, .doing = doing, .exit_code = exit_code}, .where = where};
}

[[noreturn]] void wait_for_the_end() {
  while (true) ::pause();
}

}  // namespace

Liveness::Liveness(const RunPlan& plan, std::filesystem::path out, std::vector<int> here)
    : plan_(plan),
      out_(std::move(out)),
      here_(std::move(here)),
      interval_(
          std::clamp(Seconds(plan.config.pipeline.timeout_s / 20), shortest_interval, longest_interval)),
      limits_{.slow = Seconds(slow_share_of_timeout * plan.config.pipeline.timeout_s),
              .limit = Seconds(share_of_timeout * plan.config.pipeline.timeout_s)},
      signs_(static_cast<std::size_t>(plan.num_workers()), LifeSigns(Clock::now())),
      wheres_(signs_.size()),
      told_slow_(signs_.size()) {
  for (std::size_t i = 0; i < here_.size(); ++i)
    boards_.push_back(std::make_shared<ActionBoard>(plan.lanes.size()));
}

Liveness::~Liveness() {
  stop_watching();
}

const std::shared_ptr<ActionBoard>& Liveness::board(int worker) const {
  return boards_.at(static_cast<std::size_t>(worker - here_.front()));
}

void Liveness::watch(std::function<Error(const Error&)> blame, std::function<void(const Error&)> end) {
  blame_ = std::move(blame);
  start(std::move(end));
}

void Liveness::connect(Transport& transport,
                       const std::function<std::string(const std::string&)>& public_address) {
  const auto end = [&transport, this](const Error& error) {
    transport.abort(error.what(), sentence_->exit_code);
  };
  if (transport.num_workers() == 1) return start(end);
  link_ = std::make_unique<BeatLink>(
      plan_, transport, Seconds(plan_.config.pipeline.timeout_s), public_address,
      BeatEvents{.beat = [this](int worker, const WorkerBeat& told) { take(worker, told); },
                 .sentence =
                     [this](const Sentence& sentence) {
                       const std::lock_guard lock(mutex_);
                       if (!sentence_) sentence_ = sentence;
                       wake();
                     },
                 .gone =
                     [this](int worker) {
                       const std::lock_guard lock(mutex_);
                       signs_.at(static_cast<std::size_t>(worker)).gone = true;
                       wake();
                     }});
  start(end);
}

void Liveness::start(std::function<void(const Error&)> end) {
  end_ = std::move(end);
  {
    const std::lock_guard lock(mutex_);
    for (LifeSigns& signs : signs_) signs.heard = signs.moved = Clock::now();
  }
  thread_ = std::thread([this, label = log_label()] {
    set_log_label(label);
    run();
  });
}

// With the lock held.
void Liveness::wake() {
  has_news_ = true;
  changed_.notify_all();
}

void Liveness::stop_watching() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Liveness::rest() {
  const std::lock_guard lock(mutex_);
  resting_ = true;
}

void Liveness::finish() {
  if (link_) leave_the_end(Seconds(0));
  stop_watching();
  if (link_) link_->finish(Seconds(plan_.config.pipeline.timeout_s));
}

void Liveness::tell_failure(int exit_code) {
  const std::lock_guard lock(mutex_);
  own_exit_code_ = exit_code;
  wake();
}

void Liveness::leave_the_end(Seconds patience) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, patience, [this] { return sentence_.has_value(); })) return;
  lock.unlock();
  wait_for_the_end();
}

void Liveness::take(int worker, const WorkerBeat& told) {
  const std::lock_guard lock(mutex_);
  if (told.asks_to_stop) asked_to_stop_ = worker;
  signs_.at(static_cast<std::size_t>(worker)).take(told.beat, Clock::now());
  wheres_.at(static_cast<std::size_t>(worker)) = told.where;
  if (told.beat.exit_code == 0) return;
  wake();
}

void Liveness::take_own() {
  for (std::size_t i = 0; i < here_.size(); ++i) {
    WorkerBeat own = look_at(*boards_[i], own_exit_code_);
    own.asks_to_stop = stop_requested();
    const auto at = static_cast<std::size_t>(here_[i]);
    signs_[at].take(own.beat, Clock::now());
    wheres_[at] = own.where;
    if (link_) link_->send(own);
  }
}

void Liveness::run() {
  std::unique_lock lock(mutex_);
  Clock::time_point looked = Clock::now();
  while (true) {
    changed_.wait_for(lock, interval_, [this] { return stopping_ || has_news_; });
    if (stopping_) return;
    has_news_ = false;
    const auto held_up = Clock::now() - looked - std::chrono::duration_cast<Clock::duration>(2 * interval_);
    if (held_up > Clock::duration::zero())
      for (LifeSigns& signs : signs_) signs.pardon(held_up);
    looked = Clock::now();
    take_own();
    if (!sentence_) sentence_ = judge_all();
    if (sentence_) break;
    if (is_center()) tell_of_slow();
  }
  changed_.notify_all();
  const Sentence sentence = *sentence_;
  const bool is_own_failure = own_exit_code_ != 0;
  lock.unlock();
  if (is_center() && link_) link_->send(sentence);
  if (is_own_failure) return;  // it has spoken, and ends the job
  carry_out(sentence);
}

std::optional<Sentence> Liveness::judge_all() const {
  const Clock::time_point now = Clock::now();
  const LifeLimits& limits = resting_ ? no_limits : limits_;
  if (is_center()) {
    const std::optional<EndCause> end = end_cause(signs_, limits, now);
    return end ? std::optional(sentence_on(*end, now)) : std::nullopt;
  }
  // Worker 0 judges itself of everything else.
  if (judge({signs_.front()}, limits, now).front() != Condition::lost) return std::nullopt;
  return sentence_on({.condition = Condition::lost, .worker = 0}, now);
}

Sentence Liveness::sentence_on(const EndCause& cause, Clock::time_point now) const {
  Sentence sentence{.cause = cause};
  sentence.exit_code = static_cast<int>(kind_of(sentence));
  if (cause.worker < 0) {
    sentence.standstill_s = limits_.limit.count();
    return sentence;
  }
  const auto at = static_cast<std::size_t>(cause.worker);
  const LifeSigns& signs = signs_[at];
  sentence.where = wheres_[at];
  const bool is_silent = cause.condition == Condition::lost || now - signs.heard > limits_.slow;
  if (!signs.gone) sentence.standstill_s = Seconds(now - (is_silent ? signs.heard : signs.moved)).count();
  if (cause.condition == Condition::failed) sentence.exit_code = signs.beat.exit_code;
  return sentence;
}

void Liveness::tell_of_slow() {
  const Clock::time_point now = Clock::now();
  const std::vector<Condition> conditions = judge(signs_, resting_ ? no_limits : limits_, now);
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    const bool is_slow = conditions[i] == Condition::slow;
    const EndCause on{.condition = Condition::slow, .worker = static_cast<int>(i)};
    if (is_slow && !told_slow_[i]) log_warning(text(sentence_on(on, now), names()));
    if (!is_slow && told_slow_[i]) log_info(text(static_cast<int>(i), names()) + " gets on again");
    told_slow_[i] = is_slow;
  }
}

void Liveness::carry_out(const Sentence& sentence) {
  const std::string line = text(sentence, names());
  const Error error = blame_(Error(kind_of(sentence), line));
  say(sentence, line, sentence.cause.condition == Condition::failed || line != error.what());
  exit_at_sigterm(error.exit_code());
  if (link_) await_others(sentence);
  end_(error);
  std::unique_lock lock(mutex_);
  if (changed_.wait_for(lock, link_ ? patience_with_a_job : patience_with_threads,
                        [this] { return stopping_; }))
    return;
  if (!link_) log_error(error.what());
  std::_Exit(error.exit_code());
}

// Who has failed says so as an error; the others, and that it has not ended since, are only its echo.
void Liveness::say(const Sentence& sentence, const std::string& line, bool is_echo) {
  const bool is_stuck = sentence.cause.condition == Condition::stuck;
  std::string all;
  for (std::size_t i = 0; i < here_.size(); ++i) {
    const std::string where = text(boards_[i]->read().where);
    const std::string mine = fmt::format("worker {}: stopped {}: {}", here_[i], where, line);
    is_echo ? log_info(mine) : log_error(mine);
    all += mine + "\n" + lanes_text(plan_, here_[i], *boards_[i]);
  }
  write_down(out_, here_.front(), std::move(all), is_stuck);
}

// Each that has spoken says so to worker 0, which then ends the job: until then mpirun lets all of them
// speak.
void Liveness::await_others(const Sentence& sentence) {
  const EndCause& cause = sentence.cause;
  std::unique_lock lock(mutex_);
  own_exit_code_ = static_cast<int>(kind_of(sentence));
  take_own();
  if (cause.condition == Condition::failed) {  // it ends the job itself, with its own code
    changed_.wait_for(lock, patience_with_a_failed, [] { return false; });
  } else if (is_center()) {
    changed_.wait_for(lock, patience_with_words, [&] { return all_have_spoken(cause); });
  } else {
    const Seconds patience = cause.worker == 0 ? patience_without_center : patience_with_words;
    changed_.wait_for(lock, patience, [&] { return cause.worker != 0 && signs_.front().gone; });
  }
}

bool Liveness::all_have_spoken(const EndCause& cause) const {
  for (int worker = 1; worker < std::ssize(signs_); ++worker) {
    const LifeSigns& signs = signs_[static_cast<std::size_t>(worker)];
    const bool is_mute = signs.gone || Clock::now() - signs.heard > limits_.limit;
    const bool is_lost = worker == cause.worker && cause.condition == Condition::lost;
    if (!is_lost && !is_mute && signs.beat.exit_code == 0) return false;
  }
  return true;
}

}  // namespace lamina
