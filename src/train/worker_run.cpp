#include "worker_run.hpp"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "agreement.hpp"
#include "figure_board.hpp"
#include "lamina/comm/device.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/process.hpp"
#include "lamina/nn/initializer.hpp"
#include "lamina/train/checkpoint.hpp"
#include "lamina/train/reporter.hpp"
#include "lamina/train/single_step.hpp"
#include "lamina/train/summary.hpp"
#include "run_directory.hpp"
#include "shown_sum.hpp"
#include "snapshot_links.hpp"
#include "source.hpp"
#include "trace_file.hpp"
#include "wishes.hpp"
#include "worker_place.hpp"

namespace lamina {
namespace {

using Json = nlohmann::json;

class WorkerRun {
 public:
  WorkerRun(const RunPlan& plan, const RunOptions& options, Transport& transport,
            const std::shared_ptr<SnapshotBoard>& board, Liveness& liveness)
      : plan_(plan),
        options_(options),
        transport_(transport),
        liveness_(liveness),
        limit_(plan.config.pipeline.timeout_s),
        links_(plan, transport, board, limit_, !plan.over_mpi && !options.snapshots_over_tcp),
        figures_(plan, transport, board, limit_, !plan.over_mpi && !options.snapshots_over_tcp),
        snapshots_(
            plan.snapshots, board, [this](const auto& snapshot) { links_.send(snapshot); }, limit_, speaks(),
            make_host_copies(plan.device)) {}

  std::optional<RunSummary> run();

 private:
  bool is_first() const { return transport_.worker() == 0; }
  bool is_sink() const { return transport_.worker() == plan_.sink(); }
  bool feeds() const { return plan_.groups.front().holds(transport_.worker()); }
  bool has_replicas() const { return plan_.replica_of(transport_.worker()).of > 1; }
  /// Of replicas, which are alike, the first speaks for all.
  bool speaks() const { return plan_.replica_of(transport_.worker()).index == 0; }
  bool trains() const { return options_.mode != RunMode::eval; }
  bool writes() const { return options_.writes(); }
  bool is_judged() const { return writes() && plan_.config.train.early_stop.is_on(); }

  Display display() const;
  RunStart agree_on_start();
  void open_source(const RunStart& start);
  std::vector<Stage> load_stages();
  void begin_snapshots(const std::vector<Stage>& stages);
  void share_gradients(std::vector<Stage>& stages);
  WorkerHooks make_hooks();
  std::string save(const Stage& stage, const Packet& mark) const;
  void sink(const Packet& packet);
  void measure_alone(std::vector<Stage>& stages);
  std::vector<WorkerReport> gather_reports(Worker& worker);
  RunSummary summarise(std::vector<WorkerReport> reports) const;

  const RunPlan& plan_;
  const RunOptions& options_;
  Transport& transport_;
  Liveness& liveness_;
  const Seconds limit_;
  SnapshotLinks links_;
  FigureBoard figures_;
  SnapshotPlane snapshots_;
  std::shared_ptr<const GivenTensors> given_;          // `model.init`, until the stages are made
  std::vector<std::vector<Snapshot>> saved_versions_;  // by own stage, of a resumed run
  std::vector<WorkerPlace> places_;                    // by worker
  RunStart start_;
  std::optional<Wishes> wishes_;  // of a worker that feeds
  std::optional<Source> source_;
  std::optional<CheckpointWriter> writer_;
  std::optional<Reporter> reporter_;
  std::optional<EarlyStop> early_stop_;  // the sink's
  std::optional<Packet> stop_mark_;
  Manifest last_;                // what the stop mark left behind
  std::vector<double> alone_s_;  // by own stage: sum of two measurements
};

std::optional<RunSummary> WorkerRun::run() {
  at::set_num_threads(static_cast<int>(*plan_.config.pipeline.threads));
  const OwnStream own_stream(plan_.device);
  if (plan_.over_mpi) require_agreement(plan_, transport_, limit_);
  places_ = take_places(plan_, transport_, limit_);
  transport_.open(plan_.lanes);
  start_ = agree_on_start();
  if (plan_.over_mpi) liveness_.connect(transport_, options_.snapshot_address);
  if (writes() && is_first()) show(plan_, places_);
  if (writes())
    writer_.emplace(checkpoint_directory(plan_.config.out), to_yaml(list_fields(plan_.config)),
                    plan_.config.checkpoint.keep);
  WorkerHooks hooks = make_hooks();
  Worker worker(plan_.schedule, load_stages(), transport_, plan_.lanes, snapshots_, std::move(hooks), limit_);
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
  liveness_.rest();
  std::vector<WorkerReport> reports = gather_reports(worker);
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

// The first worker looks at the disk and the others hear of it, so that all begin alike and only one
// complains.
RunStart WorkerRun::agree_on_start() {
  RunStart start;
  std::optional<Error> error;
  Json word = Json::object();
  if (is_first()) {
    try {
      start = find_start(plan_, options_);
      word["checkpoint"] = start.checkpoint.string();
      if (!start.manifest) given_ = given_weights(plan_);
      if (given_) check_names(plan_, *given_);
      open_source(start);
      if (writes()) {
        figures_.serve();
        prepare_directory(plan_);
      }
      if (!options_.trace.empty()) prepare_trace(options_.trace);
    } catch (const Error& e) {
      error = e;
      word["error"] = e.what();
    }
  }
  const Json first = Json::parse(transport_.all_gather(word.dump(), limit_).front());
  if (error) throw *error;
  if (first.contains("error")) throw Error(ErrorKind::peer_lost, first.at("error").get<std::string>());
  if (is_first()) return start;
  start = open_start(first.at("checkpoint").get<std::string>());
  if (feeds()) open_source(start);
  return start;
}

void WorkerRun::open_source(const RunStart& start) {
  const Replica replica = plan_.replica_of(transport_.worker());
  std::function<Verdict(std::int64_t)> verdict;
  if (is_first() && is_judged()) verdict = [this](std::int64_t number) { return figures_.verdict(number); };
  wishes_.emplace(plan_, options_, transport_, limit_, std::move(verdict));
  source_.emplace(trains() ? Source::training(plan_, replica, {start.step(), start.evaluated()},
                                              [this](bool closes) { return wishes_->next(closes); })
                           : Source::evaluation(plan_, replica, start.step()));
}

std::vector<Stage> WorkerRun::load_stages() {
  if (!start_.manifest && !given_) given_ = given_weights(plan_);
  std::vector<Stage> stages = make_stages(plan_, transport_.worker(), given_);
  given_.reset();
  for (Stage& stage : stages)
    saved_versions_.push_back(start_.manifest ? load_stage(start_.checkpoint, *start_.manifest, stage)
                                              : std::vector<Snapshot>());
  return stages;
}

// All publish before anybody waits.
void WorkerRun::begin_snapshots(const std::vector<Stage>& stages) {
  links_.connect(stages, options_.snapshot_address);
  for (std::size_t i = 0; i < stages.size(); ++i)
    snapshots_.publish_first(stages[i], start_.step(), saved_versions_[i]);
  saved_versions_.clear();
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

std::string WorkerRun::save(const Stage& stage, const Packet& mark) const {
  return writer_ && speaks() ? writer_->save(stage, mark, snapshots_.to_save(stage, mark.step))
                             : std::string("[]");
}

void WorkerRun::sink(const Packet& packet) {
  reporter_->on_packet(packet);
  if (early_stop_ && packet.closes_evaluation) {
    early_stop_->add(reporter_->test_accuracy(), reporter_->test_loss());
    figures_.publish(early_stop_->verdict());
  }
  if (!packet.is_mark()) return;
  if (writer_) last_ = writer_->finish(packet);
  if (packet.kind == PacketKind::stop) stop_mark_ = packet;
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

std::vector<WorkerReport> WorkerRun::gather_reports(Worker& worker) {
  const Stopwatch watch;
  transport_.all_gather("", limit_);
  Account& account = worker.account();
  account[Activity::idle] = watch.elapsed_s();
  account.total_s += account[Activity::idle];
  measure_alone(worker.stages());
  WorkerReport report{.worker = transport_.worker(),
                      .pid = process_id(),
                      .place = places_[transport_.worker()],
                      .stages = {},
                      .account = account,
                      .alone_s = alone_s_,
                      .peak_rss_mib = peak_resident_mib(),
                      .peak_device_mib = peak_device_mib(plan_.device),
                      .parameters_made = num_parameters_made()};
  for (double& s : report.alone_s) s /= 2;
  for (const Stage& stage : worker.stages()) report.stages.push_back(stage.index());
  std::vector<WorkerReport> reports;
  for (const std::string& text : transport_.all_gather(to_text(report), limit_))
    reports.push_back(worker_report(text));
  return reports;
}

RunSummary WorkerRun::summarise(std::vector<WorkerReport> reports) const {
  RunSummary summary{.complete = stop_mark_->step == stop_mark_->total_steps && stop_mark_->evaluated,
                     .step = stop_mark_->step,
                     .test_accuracy = reporter_->test_accuracy(),
                     .test_loss = reporter_->test_loss(),
                     .images_per_s = reporter_->images_per_s(),
                     .stage_seconds = reporter_->stage_seconds(),
                     .params_sha256 = last_.params_sha256,
                     .workers = std::move(reports)};
  summary.seconds = summary.workers.back().account.total_s;
  if (reporter_->seconds_per_step() > 0)
    summary.pipeline_efficiency = slowest_worker_s(summary) / reporter_->seconds_per_step();
  if (writes()) write_summary(std::filesystem::path(plan_.config.out) / "summary.json", summary);
  return summary;
}

}  // namespace

std::optional<RunSummary> run_worker(const RunPlan& plan, const RunOptions& options, Transport& transport,
                                     const std::shared_ptr<SnapshotBoard>& board, Liveness& liveness) {
  return WorkerRun(plan, options, transport, board, liveness).run();
}

}  // namespace lamina
