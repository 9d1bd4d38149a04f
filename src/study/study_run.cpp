#include "lamina/study/study_run.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "lamina/core/clock.hpp"
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
    for (const StudyCell* cell : chosen_) {
      num_runs_ += cell->repeats;
      num_rounds_ = std::max(num_rounds_, cell->repeats);
    }
  }

  StudyOutcome run() {
    folder_.write_study();
    for (const StudyCell* cell : chosen_)
      if (const std::string was = folder_.prepare(*cell); !was.empty())
        tell("{}: it is defined otherwise than when it ran; what it left is now {}", cell->name, was);
    by_turns([this](const StudyCell& cell, std::int64_t repeat) { turn(cell, repeat); });
    folder_.write_results();
    if (outcome_.stopped) tell("stopped; the same command goes on");
    fmt::print("\n{}", to_markdown(folder_.rows(), study_));
    return std::move(outcome_);
  }

  void list() {
    by_turns([this](const StudyCell& cell, std::int64_t repeat) {
      fmt::print("{}, repeat {}: {}\n", cell.name, repeat, state_of(cell, repeat));
    });
  }

 private:
  bool is_chosen(const StudyCell& cell) const {
    const auto is_part = [&](const std::string& part) { return cell.name.find(part) != cell.name.npos; };
    return options_.only.empty() || std::ranges::any_of(options_.only, is_part);
  }

  void by_turns(const std::function<void(const StudyCell&, std::int64_t)>& act) {
    for (std::int64_t repeat = 0; repeat < num_rounds_; ++repeat)
      for (const StudyCell* cell : chosen_)
        if (repeat < cell->repeats && !outcome_.stopped) {
          ++turn_;
          act(*cell, repeat);
        }
  }

  std::string state_of(const StudyCell& cell, std::int64_t repeat) const {
    if (folder_.is_outdated(cell)) return "not run since it is defined otherwise";
    if (const auto row = folder_.row(cell, repeat)) {
      if (row->at("state") == "done") return "done";
      return fmt::format("failed: {}", row->at("error").get<std::string>());
    }
    if (const auto job = folder_.job(cell, repeat))
      return fmt::format("submitted: {}", job->at("job").get<std::string>());
    return cell.error.empty() ? "not run" : fmt::format("cannot run: {}", cell.error);
  }

  template <class... Values>
  void tell(fmt::format_string<Values...> format, Values&&... values) const {
    fmt::print("study: {}\n", fmt::format(format, std::forward<Values>(values)...));
    std::fflush(stdout);
  }

  void tell_of(const StudyCell& cell, std::int64_t repeat, const std::string& what) const {
    tell("[{}/{}] {}, repeat {}: {}", turn_, num_runs_, cell.name, repeat, what);
  }

  void turn(const StudyCell& cell, std::int64_t repeat) {
    outcome_.stopped = options_.stop_requested();
    if (outcome_.stopped || failed_.contains(&cell)) return;
    if (const auto row = folder_.row(cell, repeat); row && row->at("state") == "done") return;
    if (!cell.error.empty()) return fail(cell, repeat, cell.error, config_exit_code, {});
    if (folder_.has_ended(cell, repeat)) return gather(cell, repeat);
    if (!study_.submit.empty()) return submit(cell, repeat);
    const Stopwatch watch;
    Json began = circumstances();
    began["machine"] = describe_machine();
    tell_of(cell, repeat, "runs");
    const int exit_code =
        run_child({.command = study_.through.empty() ? plainly(cell, repeat) : through(cell, repeat),
                   .log = folder_.log(cell, repeat)},
                  options_.stop_requested);
    if (exit_code == 0 && folder_.has_ended(cell, repeat))
      return finish(cell, repeat, began, watch.elapsed_s());
    outcome_.stopped = options_.stop_requested() || exit_code == interrupted_exit_code;
    if (outcome_.stopped) return;
    fail(cell, repeat, exit_code == 0 ? "it was stopped before its end" : why(cell, repeat, exit_code),
         exit_code, began);
  }

  std::string why(const StudyCell& cell, std::int64_t repeat, int exit_code) const {
    if (exit_code < 0) return fmt::format("killed by signal {}", -exit_code);
    return last_line(folder_.log(cell, repeat));
  }

  // Where and when, but for the machine, of which a job may find another.
  Json circumstances() const {
    return {{"began", utc_now()}, {"git", git_state()}, {"versions", options_.versions}};
  }

  bool trains() const { return study_.command == "train"; }

  // Further repeats train from other first values, in another order.
  std::string seed(const StudyCell& cell, std::int64_t repeat) const {
    return fmt::format("train.seed={}", cell.seed + repeat);
  }

  std::vector<std::string> plainly(const StudyCell& cell, std::int64_t repeat) const {
    std::vector<std::string> command{options_.program, study_.command, folder_.config(cell)};
    command.insert(command.end(), cell.run.begin() + 1, cell.run.end());
    command.insert(command.end(), {"--out", folder_.run(cell, repeat)});
    if (trains()) command.insert(command.end(), {"--resume", "--set", seed(cell, repeat)});
    return command;
  }

  // What launch/run is told beside CONFIG, --out and --resume.
  std::vector<std::string> launch_arguments(const StudyCell& cell, std::int64_t repeat) const {
    std::vector<std::string> arguments{"--lamina", options_.program, "--command", study_.command};
    for (auto word = cell.run.begin() + 1; word != cell.run.end(); ++word)
      arguments.push_back("--argument=" + *word);
    if (trains()) arguments.insert(arguments.end(), {"--set", seed(cell, repeat)});
    return arguments;
  }

  std::vector<std::string> through(const StudyCell& cell, std::int64_t repeat) const {
    std::vector<std::string> command = study_.through;
    for (std::string& argument : launch_arguments(cell, repeat)) command.push_back(std::move(argument));
    command.insert(command.end(), {folder_.config(cell), "--out", folder_.run(cell, repeat)});
    if (trains()) command.emplace_back("--resume");
    return command;
  }

  void submit(const StudyCell& cell, std::int64_t repeat) {
    const auto job = folder_.job(cell, repeat);
    if (job && !options_.resubmit)
      return tell_of(cell, repeat, fmt::format("no result yet of {}", job->at("job").get<std::string>()));
    Json submitted = circumstances();
    const fs::path log = folder_.log(cell, repeat);
    const int exit_code =
        run_child({.command = study_.submit,
                   .environment = {{"LAMINA_CONFIGS", folder_.config(cell)},
                                   {"LAMINA_OUT", folder_.run(cell, repeat)},
                                   {"LAMINA_ARGUMENTS",
                                    fmt::format("{}", fmt::join(launch_arguments(cell, repeat), " "))}},
                   .log = log},
                  options_.stop_requested);
    if (exit_code != 0) return fail(cell, repeat, why(cell, repeat, exit_code), exit_code, submitted);
    submitted["job"] = last_line(log);
    folder_.keep_job(cell, repeat, submitted);
    tell_of(cell, repeat, fmt::format("submitted: {}", last_line(log)));
  }

  // A job's result, or of a run that ended while nobody was there to note it.
  void gather(const StudyCell& cell, std::int64_t repeat) {
    finish(cell, repeat, folder_.job(cell, repeat).value_or(Json::object()), {});
  }

  void finish(const StudyCell& cell, std::int64_t repeat, Json row, std::optional<double> seconds) {
    row["state"] = "done";
    if (seconds) row["seconds"] = *seconds;
    row.update(measured(folder_.run(cell, repeat)));
    if (trains()) row.update(learned(folder_.run(cell, repeat), batch_of(cell), study_.to_accuracy));
    keep(cell, repeat, row);
    tell_of(cell, repeat,
            fmt::format("{:.1f} images/s{}", row.value("images_per_s", 0.0),
                        seconds ? fmt::format(", took {:.0f} s", *seconds) : ""));
  }

  static double batch_of(const StudyCell& cell) {
    const auto batch =
        std::ranges::find(cell.config, "train.batch", &std::pair<std::string, std::string>::first);
    return std::stod(batch->second);
  }

  void fail(const StudyCell& cell, std::int64_t repeat, const std::string& error, int exit_code, Json row) {
    row["state"] = "failed";
    row["error"] = error;
    row["exit_code"] = exit_code;
    keep(cell, repeat, row);
    tell_of(cell, repeat, fmt::format("failed: {}", error));
    failed_.insert(&cell);
    outcome_.failures.push_back({cell.name, error, exit_code});
  }

  void keep(const StudyCell& cell, std::int64_t repeat, const Json& row) {
    folder_.keep_row(cell, repeat, row);
    folder_.write_results();
  }

  const Study& study_;
  const StudyOptions& options_;
  StudyFolder folder_;
  std::vector<const StudyCell*> chosen_;
  std::int64_t num_runs_ = 0, num_rounds_ = 0, turn_ = 0;
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
