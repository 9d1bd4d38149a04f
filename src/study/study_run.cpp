#include "lamina/study/study_run.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <future>
#include <mutex>
#include <set>
#include <string_view>

#include "lamina/core/clock.hpp"
#include "lamina/core/directory_lock.hpp"
#include "lamina/core/error.hpp"
#include "study/child_process.hpp"
#include "study/machine.hpp"
#include "study/study_folder.hpp"
#include "study/study_rows.hpp"

namespace lamina {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int config_exit_code = static_cast<int>(ErrorKind::config);
constexpr int interrupted_exit_code = 130;
constexpr std::string_view out_mark = "{out}";

// One run of a cell.
struct Turn {
  const StudyCell& cell;
  std::int64_t repeat = 0;
  std::size_t number = 0;  // from 1
};

// Jobs take turns one after another; only while its process runs does a job not hold `state_`.
class StudyRun {
 public:
  StudyRun(const Study& study, const StudyOptions& options)
      : study_(study), options_(options), folder_(fs::absolute(options.out), study) {
    for (const StudyCell& cell : study.cells)
      if (is_chosen(cell)) chosen_.push_back(&cell);
    if (chosen_.empty())
      throw Error(ErrorKind::config,
                  fmt::format("--only: expected a part of a cell's name, such as {}, found {}",
                              study.cells.front().name, fmt::join(options.only, ", ")));
    std::int64_t num_rounds = 0;
    for (const StudyCell* cell : chosen_) num_rounds = std::max(num_rounds, cell->repeats);
    for (std::int64_t repeat = 0; repeat < num_rounds; ++repeat)
      for (const StudyCell* cell : chosen_)
        if (repeat < cell->repeats) turns_.push_back({*cell, repeat, turns_.size() + 1});
  }

  StudyOutcome run() {
    const DirectoryLock lock(options_.out);
    folder_.write_study();
    for (const StudyCell* cell : chosen_)
      if (cell->error.empty()) prepare(*cell);
    std::vector<std::future<void>> jobs;
    for (int job = 0; job < options_.jobs; ++job)
      jobs.push_back(std::async(std::launch::async, [this] { take_turns(); }));
    for (std::future<void>& job : jobs) job.get();
    folder_.write_results();
    if (outcome_.stopped) tell("stopped; the same command goes on");
    fmt::print("\n{}", to_markdown(folder_.rows(), study_));
    return std::move(outcome_);
  }

  void list() {
    for (const Turn& turn : turns_)
      fmt::print("{}, repeat {}: {}\n", turn.cell.name, turn.repeat, state_of(turn));
  }

 private:
  bool is_chosen(const StudyCell& cell) const {
    const auto is_part = [&](const std::string& part) { return cell.name.find(part) != cell.name.npos; };
    return options_.only.empty() || std::ranges::any_of(options_.only, is_part);
  }

  void prepare(const StudyCell& cell) {
    const auto [put_aside, is_back] = folder_.prepare(cell);
    if (!put_aside.empty())
      tell("{}: it is defined otherwise than when it ran; what it left is now {}", cell.name, put_aside);
    if (!is_back.empty())
      tell("{}: it was defined so before; what it left then is back, from {}", cell.name, is_back);
  }

  void take_turns() {
    std::unique_lock held(state_);
    try {
      while (!outcome_.stopped && next_ < turns_.size()) take(turns_[next_++], held);
    } catch (...) {
      if (!held.owns_lock()) held.lock();
      outcome_.stopped = true;  // for the other jobs, too
      throw;
    }
  }

  std::string state_of(const Turn& turn) const {
    if (!turn.cell.error.empty()) return fmt::format("cannot run: {}", turn.cell.error);
    if (folder_.is_outdated(turn.cell)) return "not run since it is defined otherwise";
    if (const auto row = folder_.row(turn.cell, turn.repeat)) {
      if (row->at("state") == "done") return "done";
      return fmt::format("failed: {}", row->at("error").get<std::string>());
    }
    if (const auto job = folder_.job(turn.cell, turn.repeat))
      return fmt::format("submitted: {}", job->at("job").get<std::string>());
    return "not run";
  }

  template <class... Values>
  void tell(fmt::format_string<Values...> format, Values&&... values) const {
    fmt::print("study: {}\n", fmt::format(format, std::forward<Values>(values)...));
    std::fflush(stdout);
  }

  void tell_of(const Turn& turn, const std::string& what) const {
    tell("[{}/{}] {}, repeat {}: {}", turn.number, turns_.size(), turn.cell.name, turn.repeat, what);
  }

  void take(const Turn& turn, std::unique_lock<std::mutex>& held) {
    outcome_.stopped |= options_.stop_requested();
    if (outcome_.stopped || failed_.contains(&turn.cell)) return;
    if (!turn.cell.error.empty()) return give_up(turn, turn.cell.error, config_exit_code);
    if (const auto row = folder_.row(turn.cell, turn.repeat); row && row->at("state") == "done") return;
    if (folder_.has_ended(turn.cell, turn.repeat)) return gather(turn);
    if (!study_.submit.empty()) return submit(turn);
    const Stopwatch watch;
    Json began = circumstances();
    began["machine"] = describe_machine();
    tell_of(turn, "runs");
    const ChildProcess child{.command = study_.through.empty() ? plainly(turn) : through(turn),
                             .log = folder_.log(turn.cell, turn.repeat)};
    held.unlock();
    const int exit_code = run_child(child, options_.stop_requested);
    held.lock();
    if (exit_code == 0 && folder_.has_ended(turn.cell, turn.repeat))
      return finish(turn, began, watch.elapsed_s());
    outcome_.stopped |= options_.stop_requested() || exit_code == interrupted_exit_code;
    if (outcome_.stopped) return;
    fail(turn, exit_code == 0 ? "it was stopped before its end" : why(turn, exit_code), exit_code, began);
  }

  std::string why(const Turn& turn, int exit_code) const {
    if (exit_code < 0) return fmt::format("killed by signal {}", -exit_code);
    return last_line(folder_.log(turn.cell, turn.repeat));
  }

  // Where and when, but for the machine, of which a job may find another.
  Json circumstances() const {
    return {{"began", utc_now()}, {"git", git_state()}, {"versions", options_.versions}};
  }

  std::string seed(const Turn& turn) const {
    return fmt::format("train.seed={}", turn.cell.seed_of(turn.repeat));
  }

  // The subcommand's arguments, in which {out} is the run's own folder.
  std::vector<std::string> arguments_of(const Turn& turn) const {
    std::vector<std::string> words(turn.cell.run.begin() + 1, turn.cell.run.end());
    const std::string out = folder_.run(turn.cell, turn.repeat);
    for (std::string& word : words)
      for (auto at = word.find(out_mark); at != word.npos; at = word.find(out_mark, at + out.size()))
        word.replace(at, out_mark.size(), out);
    return words;
  }

  std::vector<std::string> plainly(const Turn& turn) const {
    std::vector<std::string> command{options_.program, study_.command, folder_.config(turn.cell)};
    for (std::string& word : arguments_of(turn)) command.push_back(std::move(word));
    command.insert(command.end(), {"--out", folder_.run(turn.cell, turn.repeat)});
    if (study_.trains()) command.insert(command.end(), {"--resume", "--set", seed(turn)});
    return command;
  }

  // What launch/run is told beside CONFIG, --out and --resume.
  std::vector<std::string> launch_arguments(const Turn& turn) const {
    std::vector<std::string> arguments{"--lamina", options_.program, "--command", study_.command};
    for (const std::string& word : arguments_of(turn)) arguments.push_back("--argument=" + word);
    if (study_.trains()) arguments.insert(arguments.end(), {"--set", seed(turn)});
    return arguments;
  }

  std::vector<std::string> through(const Turn& turn) const {
    std::vector<std::string> command = study_.through;
    for (std::string& argument : launch_arguments(turn)) command.push_back(std::move(argument));
    command.insert(command.end(), {folder_.config(turn.cell), "--out", folder_.run(turn.cell, turn.repeat)});
    if (study_.trains()) command.emplace_back("--resume");
    return command;
  }

  void submit(const Turn& turn) {
    const auto job = folder_.job(turn.cell, turn.repeat);
    if (job && !options_.resubmit)
      return tell_of(turn, fmt::format("no result yet of {}", job->at("job").get<std::string>()));
    Json submitted = circumstances();
    const std::vector<std::string> arguments = launch_arguments(turn);
    std::vector<std::string> words = arguments;
    words.push_back(folder_.config(turn.cell));
    for (const std::string& word : words)
      if (word.find_first_of(" \t\n") != word.npos)
        return fail(turn, fmt::format("submit: expected arguments without blanks, found \"{}\"", word),
                    config_exit_code, submitted);
    const fs::path log = folder_.log(turn.cell, turn.repeat);
    const int exit_code =
        run_child({.command = study_.submit,
                   .environment = {{"LAMINA_CONFIGS", folder_.config(turn.cell)},
                                   {"LAMINA_OUT", folder_.run(turn.cell, turn.repeat)},
                                   {"LAMINA_ARGUMENTS", fmt::format("{}", fmt::join(arguments, " "))}},
                   .log = log},
                  options_.stop_requested);
    if (exit_code != 0) return fail(turn, why(turn, exit_code), exit_code, submitted);
    submitted["job"] = last_line(log);
    folder_.keep_job(turn.cell, turn.repeat, submitted);
    tell_of(turn, fmt::format("submitted: {}", last_line(log)));
  }

  // A job's result, or of a run that ended while nobody was there to note it.
  void gather(const Turn& turn) {
    finish(turn, folder_.job(turn.cell, turn.repeat).value_or(Json::object()), {});
  }

  void finish(const Turn& turn, Json row, std::optional<double> seconds) {
    try {
      const fs::path run = folder_.run(turn.cell, turn.repeat);
      row.update(measured(run));
      if (study_.trains()) row.update(learned(run));
    } catch (const Error& error) {
      return fail(turn, error.what(), error.exit_code(), std::move(row));
    }
    row["state"] = "done";
    if (seconds) row["seconds"] = *seconds;
    keep(turn, row);
    tell_of(turn, fmt::format("{:.1f} images/s{}", row.value("images_per_s", 0.0),
                              seconds ? fmt::format(", took {:.0f} s", *seconds) : ""));
  }

  void fail(const Turn& turn, const std::string& error, int exit_code, Json row) {
    row["state"] = "failed";
    row["error"] = error;
    row["exit_code"] = exit_code;
    keep(turn, row);
    give_up(turn, error, exit_code);
  }

  void give_up(const Turn& turn, const std::string& error, int exit_code) {
    tell_of(turn, fmt::format("failed: {}", error));
    failed_.insert(&turn.cell);
    outcome_.failures.push_back({turn.cell.name, error, exit_code});
  }

  void keep(const Turn& turn, const Json& row) {
    folder_.keep_row(turn.cell, turn.repeat, row);
    folder_.write_results();
  }

  const Study& study_;
  const StudyOptions& options_;
  StudyFolder folder_;
  std::vector<const StudyCell*> chosen_;
  std::vector<Turn> turns_;

  std::mutex state_;  // of what follows, and of the folder
  std::size_t next_ = 0;
  std::set<const StudyCell*> failed_;
  StudyOutcome outcome_;
};

}  // namespace

StudyOutcome run_study(const Study& study, const StudyOptions& options) {
  StudyRun run(study, options);
  if (!options.list) return run.run();
  run.list();
  return {};
}

}  // namespace lamina
