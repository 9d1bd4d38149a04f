#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lamina/comm/exchange.hpp"
#include "lamina/comm/transport.hpp"
#include "lamina/pipeline/snapshot_board.hpp"
#include "lamina/train/run_plan.hpp"

namespace lamina {

/// What the ends of an exchange agree on before they meet.
struct MeetingPlace {
  std::string token;      ///< worker 0's secret, new for every exchange
  std::string interface;  ///< snapshots.interface; with "auto" the loopback, if all workers share it
};

/// Collective. The token travels with the transport's own messages and is written nowhere.
MeetingPlace agree_on_meeting(const RunPlan& plan, Transport& transport, Seconds limit);

/// The snapshot plane between workers that share no board: who reads which part of whom, as the plan says.
/// Without readers elsewhere there is no exchange at all.
class SnapshotLinks {
 public:
  SnapshotLinks(const RunPlan& plan, Transport& transport, std::shared_ptr<SnapshotBoard> board,
                Seconds limit, bool board_is_shared);

  /// Collective: connects with all peers, with `stages` this worker's. Others are told to call
  /// `public_address(own)`, if that is set.
  void connect(const std::vector<Stage>& stages,
               const std::function<std::string(const std::string&)>& public_address);

  /// Takes a snapshot to its readers elsewhere; never waits.
  void send(const std::shared_ptr<const Snapshot>& snapshot);

  void finish();

 private:
  std::vector<ExchangePeer> peers(const std::vector<Stage>& stages,
                                  const std::vector<std::string>& addresses) const;

  const RunPlan& plan_;
  Transport& transport_;
  std::shared_ptr<SnapshotBoard> board_;
  Seconds limit_;
  bool board_is_shared_;
  std::map<std::string, std::vector<int>> readers_;  // elsewhere, by part that this worker owns
  std::unique_ptr<Exchange> exchange_;
};

}  // namespace lamina
