#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "lamina/comm/exchange.hpp"
#include "lamina/comm/transport.hpp"
#include "lamina/control/metrics_endpoint.hpp"
#include "lamina/control/run_figures.hpp"
#include "lamina/pipeline/snapshot_board.hpp"
#include "lamina/train/run_plan.hpp"
#include "train/early_stop.hpp"

namespace lamina {

/// A plan's figures before its first step: who computes what.
RunFigures figures_of(const RunPlan& plan);

/// A run's figures on their way from the worker that knows them, the sink, to worker 0, which serves them: a
/// part of its own on the snapshot board, of one tensor of numbers, of which the newest wins. Nobody does
/// unless metrics.listen is set. The same way, under train.early_stop, go the sink's verdicts on the
/// evaluations, and under train.on_nonfinite: rollback that the stream has been abandoned.
///
/// Threads  the worker's; the endpoint's own.
class FigureBoard {
 public:
  FigureBoard(const RunPlan& plan, Transport& transport, std::shared_ptr<SnapshotBoard> board, Seconds limit,
              bool board_is_shared);

  /// Worker 0's: opens the endpoint, unless it is open, and says where. @throws Error{device} if this host
  /// cannot listen there.
  void serve();

  /// Collective: where the sink does not share the board, it is connected with worker 0. Others are told to
  /// call `public_address(own)`, if that is set. Again behind a rollback, which begins anew.
  void connect(const std::function<std::string(const std::string&)>& public_address);

  /// The sink's: what publishes figures, and never waits; unset where nobody watches.
  std::function<void(const RunFigures&)> publisher();

  /// The sink's: on the evaluations so far; first on those before the run, then after each.
  void publish(Verdict verdict);
  /// Worker 0's: waits for the verdict on the n-th evaluation of this run. It has to be asked for before the
  /// next may be there. @throws Error{timeout}
  Verdict verdict(std::int64_t number) const;

  /// The sink's: nothing that still comes is of any worth.
  void tell_abandoned();
  /// Worker 0's: whether it has heard so. Never waits.
  bool is_abandoned() const;

  void finish();

 private:
  bool is_watched() const { return !plan_.config.metrics.listen.empty(); }
  bool is_judged() const { return plan_.config.train.early_stop.is_on(); }
  bool may_roll_back() const { return plan_.config.train.on_nonfinite == "rollback"; }
  bool is_end() const;
  void send(std::shared_ptr<const Snapshot> snapshot);
  void publish(const RunFigures& figures);
  RunFigures newest() const;

  const RunPlan& plan_;
  Transport& transport_;
  std::shared_ptr<SnapshotBoard> board_;
  Seconds limit_;
  bool board_is_shared_;
  std::int64_t version_ = 0;
  std::int64_t num_verdicts_ = 0;
  std::unique_ptr<Exchange> exchange_;       // of worker 0 and the sink
  std::optional<MetricsEndpoint> endpoint_;  // worker 0's
};

}  // namespace lamina
