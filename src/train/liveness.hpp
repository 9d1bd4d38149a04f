#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "beat_link.hpp"
#include "lamina/control/life_signs.hpp"
#include "lamina/core/error.hpp"
#include "lamina/pipeline/whereabouts.hpp"
#include "lamina/train/run_plan.hpp"

namespace lamina {

/// Whether a run's workers get on, and the end of a run of which one does not.
///
/// Every worker shows on its ActionBoard what it is doing. About once a second a thread of this object looks
/// at the boards of this process, tells the other processes (BeatLink), and judges (control/life_signs.hpp):
/// worker 0 all workers, the others worker 0. Once somebody is lost or stuck, worker 0 tells the rest; each
/// process says where it was, in a line of its log and in OUT/where-they-were, where somebody is stuck with
/// its lanes and the stacks of its threads; and then all end, a second or so later.
///
/// Threads  board(), rest(), finish(), asked_to_stop() and leave_the_end() from the workers' threads.
class Liveness {
 public:
  /// Of the workers that are `here`, in this process. `out`: the run's directory; empty: it has none.
  Liveness(const RunPlan& plan, std::filesystem::path out, std::vector<int> here);
  ~Liveness();

  /// Where a worker of this process shows what it does.
  const std::shared_ptr<ActionBoard>& board(int worker) const;

  /// Where all workers are threads of this process: watches from now on. `blame` is told at once why the run
  /// ends, before whoever waits finds that out by itself, and says what it ends with: that, or an error that
  /// came before it. `end` wakes all that wait, once it is written down where they are. If they have not come
  /// to an end some seconds later, the process says that error and exits with its code.
  void watch(std::function<Error(const Error&)> blame, std::function<void(const Error&)> end);

  /// Where every worker is a process: watches from now on. Collective. At the end the process exits.
  void connect(Transport& transport, const std::function<std::string(const std::string&)>& public_address);

  /// The stream has ended here, and others may be silent from now on.
  void rest();
  /// Nobody is watched any more. Of processes the last thing, behind a gather that follows rest().
  void finish();

  /// At worker 0: the last worker, of another process, that a signal has asked to stop; -1: none.
  int asked_to_stop() const { return asked_to_stop_; }

  /// This process has failed and is about to exit with this code: the others hear that, and do not miss it.
  void tell_failure(int exit_code);
  /// Does not return if the run's end has come, or comes within `patience`: then this object says why, and
  /// exits.
  void leave_the_end(Seconds patience);

 private:
  bool is_center() const { return here_.front() == 0; }
  void start(std::function<void(const Error&)> end);
  void wake();
  void stop_watching();
  void run();
  void take(int worker, const WorkerBeat& told);
  void take_own();
  std::optional<Sentence> judge_all() const;
  Sentence sentence_on(const EndCause& cause, Clock::time_point now) const;
  void tell_of_slow();
  void carry_out(const Sentence& sentence);
  void say(const Sentence& sentence, const std::string& line, bool is_echo);
  void await_others(const Sentence& sentence);
  bool all_have_spoken(const EndCause& cause) const;
  std::vector<WorkerName> names() const { return link_ ? link_->names() : std::vector<WorkerName>(); }

  const RunPlan& plan_;
  const std::filesystem::path out_;
  const std::vector<int> here_;
  const Seconds interval_;
  const LifeLimits limits_;
  std::vector<std::shared_ptr<ActionBoard>> boards_;  // as here_
  std::function<Error(const Error&)> blame_ = [](const Error& error) { return error; };
  std::function<void(const Error&)> end_;
  std::atomic<int> asked_to_stop_ = -1;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::vector<LifeSigns> signs_;      // by worker
  std::vector<Whereabouts> wheres_;   // by worker, as last heard of
  std::vector<bool> told_slow_;       // by worker
  std::optional<Sentence> sentence_;  // once the end has come
  int own_exit_code_ = 0;
  bool has_news_ = false;
  bool resting_ = false;
  bool stopping_ = false;

  std::unique_ptr<BeatLink> link_;
  std::thread thread_;
};

}  // namespace lamina
