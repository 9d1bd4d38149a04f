#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "background_writer.hpp"
#include "checkpoint_mirror.hpp"
#include "figure_board.hpp"
#include "lamina/core/directory_lock.hpp"
#include "lamina/pipeline/worker.hpp"
#include "lamina/train/engine.hpp"
#include "lamina/train/reporter.hpp"
#include "liveness.hpp"
#include "run_start.hpp"
#include "snapshot_links.hpp"
#include "source.hpp"
#include "wishes.hpp"

namespace lamina {

/// Whether the workers of this process share one.
bool board_is_shared(const RunPlan& plan, const RunOptions& options);

/// What a rollback leaves to the line of training that follows it.
struct Line {
  std::int64_t rollbacks = 0;                  // before it, as far as this process knows
  StopReason told_to_stop = StopReason::none;  // but by train.early_stop, whose evaluations are void
  std::shared_ptr<DirectoryLock> lock{};       // the first's, of the run's directory
  std::shared_ptr<CheckpointMirror> mirror{};  // the sink's: what it copies is of worth whatever the line is
};

/// One worker's line of training, from a checkpoint or the beginning to a stop mark. A run is one line, or
/// behind each rollback another, over the same transport. Collective.
class WorkerRun {
 public:
  /// `places`: by worker.
  WorkerRun(const RunPlan& plan, const RunOptions& options, Transport& transport,
            const std::shared_ptr<SnapshotBoard>& board, FigureBoard& figures,
            const std::vector<WorkerPlace>& places, Liveness& liveness, Line line);

  /// The summary, at the sink; nothing if the line has been abandoned.
  std::optional<RunSummary> run();

  bool is_abandoned() const { return is_abandoned_; }
  Line next_line() const {
    const StopReason asked = stopped_by();
    return {rollbacks_ + 1, asked == StopReason::early_stop ? StopReason::none : asked, lock_, mirror_};
  }

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

  bool may_roll_back() const {
    return writes() && plan_.config.train.on_nonfinite == "rollback" &&
           rollbacks_ < plan_.config.train.max_rollbacks;
  }

  StopReason stopped_by() const { return wishes_ ? wishes_->stopped_by() : StopReason::none; }

  Display display() const;
  void keep_others_out();
  std::vector<std::filesystem::path> agree_on_starts();
  std::vector<Stage> load_stages();
  void prepare();
  void open_source();
  void begin_snapshots(const std::vector<Stage>& stages);
  void share_gradients(std::vector<Stage>& stages);
  WorkerHooks make_hooks();
  double save(const Stage& stage, const Packet& mark);
  void sink(const Packet& packet);
  bool ends_abandoned(Account& account);
  void measure_alone(std::vector<Stage>& stages);
  WorkerReport report(Worker& worker);
  RunSummary summarise(std::vector<WorkerReport> reports);

  const RunPlan& plan_;
  const RunOptions& options_;
  Transport& transport_;
  Liveness& liveness_;
  const Seconds limit_;
  SnapshotLinks links_;
  FigureBoard& figures_;
  SnapshotPlane snapshots_;
  const std::vector<WorkerPlace>& places_;  // by worker
  const Line line_;
  std::shared_ptr<const GivenTensors> given_;  // `model.init`, until the stages are made
  LoadedStart loaded_;
  RunStart& start_ = loaded_.start;
  std::int64_t rollbacks_ = 0;    // made before this line
  std::optional<Wishes> wishes_;  // of a worker that feeds
  std::optional<Source> source_;
  std::shared_ptr<DirectoryLock> lock_ = line_.lock;
  std::shared_ptr<CheckpointMirror> mirror_ = line_.mirror;
  std::optional<BackgroundWriter> writer_;  // of a worker that saves
  std::optional<Reporter> reporter_;
  std::optional<EarlyStop> early_stop_;  // the sink's
  std::optional<Packet> stop_mark_;
  bool is_abandoned_ = false;    // at the sink, as soon as it knows
  std::vector<double> alone_s_;  // by own stage: sum of two measurements
};

}  // namespace lamina
