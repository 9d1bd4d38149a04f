#include "figure_board.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "lamina/core/log.hpp"
#include "snapshot_links.hpp"

namespace lamina {
namespace {

constexpr const char* part = "figures";
constexpr const char* verdict_part = "verdict";
constexpr const char* abandoned_part = "abandoned";
constexpr int reader = 0;

at::Tensor tensor_of(const RunFigures& figures) {
  return at::tensor(to_numbers(figures), at::kDouble);
}

at::Tensor tensor_of(Verdict verdict) {
  return at::tensor({static_cast<std::int64_t>(verdict.stop), static_cast<std::int64_t>(verdict.over)},
                    at::kLong);
}

}  // namespace

RunFigures figures_of(const RunPlan& plan) {
  RunFigures figures;
  for (const StageSpec& stage : plan.stages) {
    figures.stages.push_back({.worker = plan.owners_of(stage.index).first_worker});
    for (std::size_t i = 0; i < stage.modules.size(); ++i) figures.modules.push_back({.stage = stage.index});
  }
  return figures;
}

FigureBoard::FigureBoard(const RunPlan& plan, Transport& transport, std::shared_ptr<SnapshotBoard> board,
                         Seconds limit, bool board_is_shared)
    : plan_(plan),
      transport_(transport),
      board_(std::move(board)),
      limit_(limit),
      board_is_shared_(board_is_shared || plan.sink() == reader) {}

bool FigureBoard::is_end() const {
  return transport_.worker() == reader || transport_.worker() == plan_.sink();
}

void FigureBoard::serve() {
  if (!is_watched() || endpoint_) return;
  endpoint_.emplace(plan_.config.metrics.listen, [this] { return newest(); });
  log_info(fmt::format("metrics at http://{}/metrics", endpoint_->address()));
}

void FigureBoard::connect(const std::function<std::string(const std::string&)>& public_address) {
  exchange_.reset();
  num_verdicts_ = 0;
  if (board_is_shared_ || (!is_watched() && !is_judged() && !may_roll_back())) return;
  const MeetingPlace place = agree_on_meeting(plan_, transport_, limit_);
  std::string own;
  if (is_end()) {
    // That the other end is lost is told by the lanes; nobody waits for figures.
    exchange_ = make_exchange(
        {.worker = transport_.worker(),
         .token = place.token,
         .newest_wins = true,
         .timeout = limit_,
         .interface = place.interface},
        [this](std::shared_ptr<const Snapshot> snapshot) { board_->publish(std::move(snapshot)); },
        [](int, const Error&) {});
    own = exchange_->address();
    if (public_address) own = public_address(own);
  }
  const std::vector<std::string> addresses = transport_.all_gather(own, limit_);
  if (!exchange_) return;
  const bool reads = transport_.worker() == reader;
  const int other = reads ? plan_.sink() : reader;
  ExchangePeer peer{.worker = other, .address = addresses[static_cast<std::size_t>(other)], .receives = {}};
  if (reads && is_watched()) peer.receives.push_back(snapshot_shape(part, {tensor_of(figures_of(plan_))}));
  if (reads && is_judged()) peer.receives.push_back(snapshot_shape(verdict_part, {tensor_of(Verdict{})}));
  if (reads && may_roll_back()) peer.receives.push_back(snapshot_shape(abandoned_part, {at::ones({1})}));
  exchange_->connect({peer}, limit_);
}

std::function<void(const RunFigures&)> FigureBoard::publisher() {
  if (!is_watched()) return nullptr;
  return [this](const RunFigures& figures) { publish(figures); };
}

void FigureBoard::publish(const RunFigures& figures) {
  send(std::make_shared<const Snapshot>(
      Snapshot{.part = part, .version = ++version_, .tensors = {tensor_of(figures)}}));
}

void FigureBoard::publish(Verdict verdict) {
  send(std::make_shared<const Snapshot>(
      Snapshot{.part = verdict_part, .version = num_verdicts_++, .tensors = {tensor_of(verdict)}}));
}

void FigureBoard::tell_abandoned() {
  send(std::make_shared<const Snapshot>(
      Snapshot{.part = abandoned_part, .version = 0, .tensors = {at::ones({1})}}));
}

bool FigureBoard::is_abandoned() const {
  return board_->latest(abandoned_part) != nullptr;
}

void FigureBoard::send(std::shared_ptr<const Snapshot> snapshot) {
  if (exchange_)
    exchange_->send(reader, std::move(snapshot));
  else
    board_->publish(std::move(snapshot));
}

Verdict FigureBoard::verdict(std::int64_t number) const {
  const at::Tensor found = board_->at(verdict_part, number, limit_)->tensors.front();
  return {.stop = found[0].item<std::int64_t>() != 0, .over = found[1].item<std::int64_t>() != 0};
}

RunFigures FigureBoard::newest() const {
  RunFigures figures = figures_of(plan_);
  if (const SnapshotBoard::SnapshotPtr snapshot = board_->latest(part)) {
    const at::Tensor& numbers = snapshot->tensors.front();
    set_numbers(figures, {numbers.const_data_ptr<double>(), static_cast<std::size_t>(numbers.numel())});
  }
  return figures;
}

void FigureBoard::finish() {
  if (exchange_) exchange_->finish(limit_);
}

}  // namespace lamina
