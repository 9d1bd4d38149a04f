#include "worker_run.hpp"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agreement.hpp"
#include "lamina/comm/device.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/log.hpp"
#include "lamina/train/single_step.hpp"
#include "lamina/train/summary.hpp"
#include "run_directory.hpp"
#include "run_line.hpp"
#include "shown_sum.hpp"
#include "trace_file.hpp"
#include "worker_place.hpp"
#include "worker_reports.hpp"

namespace lamina {

using Json = nlohmann::json;

namespace {

constexpr Seconds longest_lease(100);  // of a lock of NFS whose host is gone, 90 s

}  // namespace

bool board_is_shared(const RunPlan& plan, const RunOptions& options) {
  return !plan.over_mpi && !options.snapshots_over_tcp;
}

WorkerRun::WorkerRun(const RunPlan& plan, const RunOptions& options, Transport& transport,
                     const std::shared_ptr<SnapshotBoard>& board, FigureBoard& figures,
                     const std::vector<WorkerPlace>& places, Liveness& liveness, Line line)
    : plan_(plan),
      options_(options),
      transport_(transport),
      liveness_(liveness),
      limit_(plan.config.pipeline.timeout_s),
      links_(plan, transport, board, limit_, board_is_shared(plan, options)),
      figures_(figures),
      snapshots_(
          plan.snapshots, board, [this](const auto& snapshot) { links_.send(snapshot); }, limit_, speaks(),
          make_host_copies(plan.device)),
      places_(places),
      line_(line) {}

std::optional<RunSummary> WorkerRun::run() {
  std::vector<Stage> stages = load_stages();
  prepare();
  if (plan_.over_mpi && line_.rollbacks == 0) liveness_.connect(transport_, options_.snapshot_address);
  WorkerHooks hooks = make_hooks();
  Worker worker(plan_.schedule, std::move(stages), transport_, plan_.lanes, snapshots_, std::move(hooks),
                limit_);
  measure_alone(worker.stages());
  if (trains()) begin_snapshots(worker.stages());
  if (writes()) figures_.connect(options_.snapshot_address);
  if (early_stop_) figures_.publish(early_stop_->verdict());
  share_gradients(worker.stages());
  worker.run();
  for (Stage& stage : worker.stages()) stage.share_gradients(nullptr, limit_);
  if (wishes_) wishes_->finish();
  snapshots_.finish();
  links_.finish();
  figures_.finish();
  if (ends_abandoned(worker.account())) return std::nullopt;
  liveness_.rest();
  std::vector<WorkerReport> reports = gather(report(worker), transport_, limit_);
  if (plan_.over_mpi) liveness_.finish();
  if (!options_.trace.empty()) write_trace(plan_, transport_, worker.timeline(), options_.trace, limit_);
  if (!is_sink()) return std::nullopt;
  return summarise(std::move(reports));
}

// mpirun gives every rank a terminal of its own, whatever it is started from itself.
Display WorkerRun::display() const {
  if (!writes()) return Display::nothing;
  return isatty(STDOUT_FILENO) != 0 && !plan_.over_mpi ? Display::bar : Display::lines;
}

// Before anything that is there is looked at or deleted.
void WorkerRun::keep_others_out() {
  if (!lock_) lock_ = std::make_shared<DirectoryLock>(plan_.config.out, std::min(limit_ / 2, longest_lease));
}

// The first worker looks at the disk and the others hear of it, so that all begin alike and only one
// complains.
std::vector<std::filesystem::path> WorkerRun::agree_on_starts() {
  const std::string said = hear_first(transport_, limit_, [this] {
    if (options_.mode == RunMode::resume && std::filesystem::exists(plan_.config.out)) keep_others_out();
    Json paths = Json::array();
    for (const std::filesystem::path& start : find_starts(plan_, options_)) paths.push_back(start.string());
    if (paths.empty()) given_ = given_weights(plan_);
    if (given_) check_names(plan_, *given_);
    return paths.dump();
  });
  std::vector<std::filesystem::path> starts;
  for (const std::string path : Json::parse(said)) starts.emplace_back(path);
  return starts;
}

std::vector<Stage> WorkerRun::load_stages() {
  const std::vector<std::filesystem::path> starts = agree_on_starts();
  if (starts.empty() && !given_) given_ = given_weights(plan_);
  std::vector<Stage> stages = make_stages(plan_, transport_.worker(), given_);
  given_.reset();
  loaded_ = load_newest_whole(starts, stages, transport_, limit_);
  rollbacks_ = std::max(line_.rollbacks, start_.rollbacks());
  if (is_first() && trains() && line_.rollbacks == 0 && start_.manifest)
    log_info(fmt::format("resuming from {} at step {}", start_.checkpoint.string(), start_.step()));
  if (may_roll_back())
    for (Stage& stage : stages) stage.set_on_nonfinite(OnNonfinite::rollback);
  return stages;
}

void WorkerRun::prepare() {
  hear_first(transport_, limit_, [this] {
    open_source();
    if (writes()) {
      figures_.serve();  // where it cannot, nothing is written
      keep_others_out();
      prepare_directory(plan_, loaded_.damaged);
    }
    if (!options_.trace.empty()) prepare_trace(options_.trace);
    return std::string();
  });
  if (!is_first() && feeds()) open_source();
  if (!writes()) return;
  if (is_first() && line_.rollbacks == 0) show(plan_, places_);
  if (is_first() && line_.rollbacks > 0)
    log_warning(fmt::format("rollback {} of {}: going on from step {} with the data in another order",
                            rollbacks_, plan_.config.train.max_rollbacks, start_.step()));
  if (is_sink() && !mirror_) mirror_ = open_mirror(plan_);
  if (speaks())
    writer_.emplace(
        CheckpointWriter(checkpoint_directory(plan_.config.out), to_yaml(list_fields(plan_.config)),
                         plan_.config.checkpoint.keep, rollbacks_),
        plan_.modules.size(), make_host_copies(plan_.device), mirror_);
}

void WorkerRun::open_source() {
  const Replica replica = plan_.replica_of(transport_.worker());
  WishSources sources{.told_to_stop = line_.told_to_stop};
  if (is_first() && is_judged())
    sources.verdict = [this](std::int64_t number) { return figures_.verdict(number); };
  if (is_first() && may_roll_back()) sources.is_abandoned = [this] { return figures_.is_abandoned(); };
  if (is_first()) sources.asked_to_stop = [this] { return liveness_.asked_to_stop(); };
  wishes_.emplace(plan_, options_, transport_, limit_, std::move(sources));
  source_.emplace(trains()
                      ? Source::training(
                            plan_, replica,
                            {.step = start_.step(), .evaluated = start_.evaluated(), .rollbacks = rollbacks_},
                            [this](bool closes) { return wishes_->next(closes); })
                      : Source::evaluation(plan_, replica, start_.step()));
}

// All publish before anybody waits.
void WorkerRun::begin_snapshots(const std::vector<Stage>& stages) {
  links_.connect(stages, options_.snapshot_address);
  for (std::size_t i = 0; i < stages.size(); ++i)
    snapshots_.publish_first(stages[i], start_.step(), loaded_.versions[i]);
  loaded_.versions.clear();
  for (const Stage& stage : stages) snapshots_.await_first(stage, start_.step());
}

void WorkerRun::share_gradients(std::vector<Stage>& stages) {
  if (!has_replicas()) return;
  const std::vector<int> group = plan_.group_of(transport_.worker()).workers();
  for (Stage& stage : stages)
    stage.share_gradients(shown_sums(transport_, group, liveness_.board(transport_.worker())), limit_);
}

WorkerHooks WorkerRun::make_hooks() {
  WorkerHooks hooks;
  hooks.board = liveness_.board(transport_.worker());
  if (feeds()) hooks.source = [this] { return source_->next(); };
  hooks.save = [this](Stage& stage, const Packet& mark) { return save(stage, mark); };
  if (writer_) hooks.notes = [this] { return writer_->take_notes(); };
  if (is_sink()) {
    reporter_.emplace(ReporterOptions{.directory = writes() ? plan_.config.out : "",
                                      .start_step = start_.step(),
                                      .start_evaluated = start_.evaluated(),
                                      .display = display(),
                                      .tensorboard_every_steps = plan_.config.metrics.tensorboard_every_steps,
                                      .spike_factor = writes() ? plan_.config.metrics.spike_factor : 0,
                                      .figures = figures_of(plan_),
                                      .show = writes() ? figures_.publisher() : nullptr});
    hooks.sink = [this](const Packet& packet) { sink(packet); };
  }
  if (is_sink() && is_judged()) {
    early_stop_.emplace(plan_.config.train.early_stop);
    early_stop_->read(std::filesystem::path(plan_.config.out) / "metrics.jsonl", start_.step());
  }
  return hooks;
}

double WorkerRun::save(const Stage& stage, const Packet& mark) {
  if (!writer_) return 0;
  double waited_s = 0;
  if (!mark.abandoned) waited_s = writer_->save(stage, mark, snapshots_.to_save(stage, mark.step));
  if (mark.kind == PacketKind::stop) writer_->finish();
  return waited_s;
}

void WorkerRun::sink(const Packet& packet) {
  if (packet.abandoned && !std::exchange(is_abandoned_, true)) figures_.tell_abandoned();
  if (!packet.abandoned) reporter_->on_packet(packet);
  if (early_stop_ && packet.closes_evaluation) {
    if (!packet.abandoned) early_stop_->add(reporter_->test_accuracy(), reporter_->test_loss());
    figures_.publish(early_stop_->verdict());  // of each, since somebody waits for it
  }
  if (writer_) writer_->collect(packet);
  if (packet.kind != PacketKind::stop) return;
  if (writer_) writer_->finish();
  stop_mark_ = packet;
}

// The sink knows.
bool WorkerRun::ends_abandoned(Account& account) {
  const Stopwatch watch;
  const auto words = transport_.all_gather(is_sink() && is_abandoned_ ? "abandoned" : "", limit_);
  account[Activity::idle] = watch.elapsed_s();
  account.total_s += account[Activity::idle];
  is_abandoned_ = !words[static_cast<std::size_t>(plan_.sink())].empty();
  return is_abandoned_;
}

// One worker at a time: the gathers in between hold the others still.
void WorkerRun::measure_alone(std::vector<Stage>& stages) {
  if (!options_.measure_alone) return;
  alone_s_.resize(stages.size(), 0.0);
  for (int turn = 0; turn < transport_.num_workers(); ++turn) {
    if (turn == transport_.worker())
      for (std::size_t i = 0; i < stages.size(); ++i) alone_s_[i] += options_.measure_alone(stages[i]);
    transport_.all_gather("", limit_);
  }
}

WorkerReport WorkerRun::report(Worker& worker) {
  measure_alone(worker.stages());
  WorkerReport report = report_of(worker, plan_.device, transport_.worker());
  report.place = places_[transport_.worker()];
  if (source_) report.broken_images = source_->num_broken();
  for (const double both_s : alone_s_) report.alone_s.push_back(both_s / 2);
  if (writer_) report.checkpoints = writer_->cost();
  report.stopped_by = stopped_by();
  return report;
}

RunSummary WorkerRun::summarise(std::vector<WorkerReport> reports) {
  RunSummary summary = summary_of(*stop_mark_, *reporter_, std::move(reports));
  summary.rollbacks = rollbacks_;
  if (!writer_) return summary;
  summary.params_sha256 = writer_->newest()->params_sha256;
  const auto write = [&] {
    summary.workers[static_cast<std::size_t>(transport_.worker())].checkpoints = writer_->cost();
    write_summary(std::filesystem::path(plan_.config.out) / "summary.json", summary);
  };
  write();
  if (plan_.config.checkpoint.mirror.empty()) return summary;
  writer_->finish_mirror();  // which may be slow, or hang for minutes
  write();
  return summary;
}

namespace {

std::optional<RunSummary> result_of(WorkerRun& run, const Line& line, std::int64_t max_rollbacks) {
  try {
    return run.run();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::nonfinite || line.rollbacks == 0) throw;
    throw Error(error.kind(),
                fmt::format("{}; train.max_rollbacks: {} have been made", error.what(), max_rollbacks));
  }
}

}  // namespace

std::optional<RunSummary> run_worker(const RunPlan& as_made, const RunOptions& options, Transport& transport,
                                     const std::shared_ptr<SnapshotBoard>& board, Liveness& liveness,
                                     const std::function<void(const std::exception&)>& tell) {
  RunPlan plan = as_made;  // whose threads take_places() may settle
  const Seconds limit(plan.config.pipeline.timeout_s);
  const OwnStream own_stream(plan.device);
  if (plan.over_mpi) require_agreement(plan, transport, limit);
  const std::vector<WorkerPlace> places = take_places(plan, transport, limit);
  at::set_num_threads(static_cast<int>(*plan.config.pipeline.threads));
  transport.open(plan.lanes);
  FigureBoard figures(plan, transport, board, limit, board_is_shared(plan, options));
  RunOptions of_line = options;
  for (Line line;; of_line.mode = RunMode::resume) {
    WorkerRun run(plan, of_line, transport, board, figures, places, liveness, line);
    std::optional<RunSummary> summary;
    try {
      summary = result_of(run, line, plan.config.train.max_rollbacks);
    } catch (const std::exception& error) {
      tell(error);
      throw;
    }
    if (!run.is_abandoned()) return summary;
    line = run.next_line();
    board->begin_line(line.rollbacks);
  }
}

}  // namespace lamina
