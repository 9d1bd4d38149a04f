#include "snapshot_links.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "lamina/comm/network.hpp"
#include "lamina/comm/token.hpp"

namespace lamina {
namespace {

using Json = nlohmann::json;

// The worker that publishes a part: of its stage's replicas the first.
int publisher(const RunPlan& plan, const std::string& part) {
  return plan.owners_of(plan.owner_of(part).index).first_worker;
}

}  // namespace

MeetingPlace agree_on_meeting(const RunPlan& plan, Transport& transport, Seconds limit) {
  const std::string& chosen = plan.config.snapshots.interface;
  const std::string token = transport.worker() == 0 ? random_token() : "";
  const std::vector<std::string> all =
      transport.all_gather(Json{{"token", token}, {"network", network_id()}}.dump(), limit);
  bool is_one_host = true;
  for (const std::string& each : all)
    is_one_host = is_one_host && Json::parse(each).at("network") == network_id();
  return {.token = Json::parse(all.front()).at("token"),
          .interface = chosen == "auto" && is_one_host ? "127.0.0.1" : chosen};
}

SnapshotLinks::SnapshotLinks(const RunPlan& plan, Transport& transport, std::shared_ptr<SnapshotBoard> board,
                             Seconds limit, bool board_is_shared)
    : plan_(plan),
      transport_(transport),
      board_(std::move(board)),
      limit_(limit),
      board_is_shared_(board_is_shared) {
  if (board_is_shared_) return;
  for (const StageSpec& reader : plan.stages)
    for (const std::string& part : reader.shadowed()) {
      if (publisher(plan, part) != transport.worker()) continue;
      std::vector<int>& known = readers_[part];
      for (const int to : plan.owners_of(reader.index).workers())
        if (to != transport.worker() && std::find(known.begin(), known.end(), to) == known.end())
          known.push_back(to);
    }
}

std::vector<ExchangePeer> SnapshotLinks::peers(const std::vector<Stage>& stages,
                                               const std::vector<std::string>& addresses) const {
  std::map<int, std::map<std::string, SnapshotShape>>
      receives;  // by worker and part; empty: only sends to it
  for (const auto& [part, workers] : readers_)
    for (const int worker : workers) receives[worker];
  for (const Stage& stage : stages)
    for (const auto& [part, tensors] : stage.shadows()) {
      const int owner = publisher(plan_, part);
      if (owner != transport_.worker()) receives[owner].emplace(part, snapshot_shape(part, tensors));
    }
  std::vector<ExchangePeer> peers;
  for (const auto& [worker, shapes] : receives) {
    ExchangePeer peer{.worker = worker, .address = addresses[worker], .receives = {}};
    for (const auto& [part, shape] : shapes) peer.receives.push_back(shape);
    peers.push_back(std::move(peer));
  }
  return peers;
}

void SnapshotLinks::connect(const std::vector<Stage>& stages,
                            const std::function<std::string(const std::string&)>& public_address) {
  if (board_is_shared_) return;
  const MeetingPlace place = agree_on_meeting(plan_, transport_, limit_);
  exchange_ = make_exchange(
      {.worker = transport_.worker(),
       .token = place.token,
       .newest_wins = plan_.snapshots.newest_wins,
       .depth = plan_.snapshots.depth() + 1,
       .timeout = limit_,
       .interface = place.interface,
       .pinned = !plan_.device.is_cpu()},
      [this](std::shared_ptr<const Snapshot> snapshot) { board_->publish(std::move(snapshot)); },
      [this](int, const Error& error) { board_->close(error.what()); });
  const std::string own = exchange_->address();
  const std::vector<std::string> addresses =
      transport_.all_gather(public_address ? public_address(own) : own, limit_);
  exchange_->connect(peers(stages, addresses), limit_);
}

void SnapshotLinks::send(const std::shared_ptr<const Snapshot>& snapshot) {
  const auto readers = readers_.find(snapshot->part);
  if (readers == readers_.end()) return;
  for (const int worker : readers->second) exchange_->send(worker, snapshot);
}

void SnapshotLinks::finish() {
  if (exchange_) exchange_->finish(limit_);
}

}  // namespace lamina
