#include "lamina/pipeline/whereabouts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lamina/core/error.hpp"

namespace lamina {
namespace {

std::string activity_text(const Whereabouts& where) {
  switch (where.activity) {
    case Activity::compute:
      return fmt::format("{} of stage {}", name_of(where.op), where.stage);
    case Activity::wait_input:
      return where.op == Op::feed ? "feed" : fmt::format("recv from stage {}", where.other);
    case Activity::wait_room:
    case Activity::send:
      return where.other < 0 ? "send" : fmt::format("send to stage {}", where.other);
    case Activity::replicas:
      return fmt::format("sum with the replicas of stage {}", where.stage);
    case Activity::snapshot:
      return fmt::format("snapshots for stage {}", where.stage);
    case Activity::checkpoint:
      return fmt::format("checkpoint of stage {}", where.stage);
    case Activity::report:
      return "report";
    case Activity::idle:
      break;
  }
  return "nothing of its stream";
}

}  // namespace

std::string text(const Whereabouts& where) {
  const std::string micro = where.micro > 0 ? fmt::format(", micro-batch {}", where.micro) : "";
  return fmt::format("at step {} in {}{}", where.step, activity_text(where), micro);
}

bool waits_for_peer(const Whereabouts& where) {
  const bool waits_for_message = where.activity == Activity::wait_input && where.op != Op::feed;
  return waits_for_message || where.activity == Activity::wait_room || where.activity == Activity::replicas ||
         where.activity == Activity::snapshot;
}

WhereaboutsNumbers to_numbers(const Whereabouts& where) {
  return {where.step,
          static_cast<std::int64_t>(where.op),
          static_cast<std::int64_t>(where.activity),
          where.stage,
          where.other,
          where.micro};
}

Whereabouts whereabouts(const WhereaboutsNumbers& numbers) {
  const auto [step, op, activity, stage, other, micro] = numbers;
  if (op < 0 || op > static_cast<std::int64_t>(Op::finish) || activity < 0 ||
      activity >= std::ssize(activity_names))
    throw Error(ErrorKind::contract,
                fmt::format("expected an action and an activity, found {} and {}", op, activity));
  for (const std::int64_t number : {stage, other, micro})
    if (!std::in_range<int>(number))
      throw Error(ErrorKind::contract, fmt::format("expected a stage or a micro-batch, found {}", number));
  return {.step = step,
          .op = static_cast<Op>(op),
          .activity = static_cast<Activity>(activity),
          .stage = static_cast<int>(stage),
          .other = static_cast<int>(other),
          .micro = static_cast<int>(micro)};
}

// Who reads a number of a later version also reads that the version has begun, since numbers are released
// and acquired one by one: no fence is needed, and thread sanitizers understand it.
void ActionBoard::show(const Whereabouts& where) {
  const std::int64_t version = version_.load(std::memory_order_relaxed);
  version_.store(version + 1, std::memory_order_relaxed);
  const WhereaboutsNumbers numbers = to_numbers(where);
  for (std::size_t i = 0; i < numbers.size(); ++i) numbers_[i].store(numbers[i], std::memory_order_release);
  version_.store(version + 2, std::memory_order_release);
}

ActionBoard::Seen ActionBoard::read() const {
  while (true) {
    const std::int64_t version = version_.load(std::memory_order_acquire);
    WhereaboutsNumbers numbers;
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = numbers_[i].load(std::memory_order_acquire);
    const bool is_whole = version % 2 == 0 && version_.load(std::memory_order_relaxed) == version;
    if (is_whole && version == 0) return {};
    if (is_whole) return {.where = whereabouts(numbers), .moves = version / 2};
  }
}

void ActionBoard::show_lane(std::size_t lane, const LaneCount& count) {
  lanes_[lane].carried.store(count.carried, std::memory_order_relaxed);
  lanes_[lane].open.store(count.open, std::memory_order_relaxed);
}

LaneCount ActionBoard::lane(std::size_t lane) const {
  return {.carried = lanes_[lane].carried.load(std::memory_order_relaxed),
          .open = lanes_[lane].open.load(std::memory_order_relaxed)};
}

}  // namespace lamina
