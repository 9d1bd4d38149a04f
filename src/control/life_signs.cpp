#include "lamina/control/life_signs.hpp"

#include <algorithm>

namespace lamina {
namespace {

bool stands_still(const LifeSigns& worker, Seconds limit, Clock::time_point now) {
  return worker.beat.doing != Doing::rest && now - worker.moved > limit;
}

bool is_lost(const LifeSigns& worker, Seconds limit, Clock::time_point now) {
  return worker.gone || now - worker.heard > limit;
}

}  // namespace

void LifeSigns::take(const Beat& newer, Clock::time_point now) {
  if (newer.moves != beat.moves || newer.doing != beat.doing) moved = now;
  beat = newer;
  heard = now;
}

void LifeSigns::pardon(Clock::duration held_up) {
  heard += held_up;
  moved += held_up;
}

std::vector<Condition> judge(const std::vector<LifeSigns>& workers, const LifeLimits& limits,
                             Clock::time_point now) {
  const auto any = [&](auto is_so) { return std::any_of(workers.begin(), workers.end(), is_so); };
  const bool some_wait = any([](const LifeSigns& each) { return each.beat.doing == Doing::wait; });
  const bool some_get_on = any([&](const LifeSigns& each) {
    return each.beat.doing != Doing::rest && !stands_still(each, limits.limit, now);
  });
  const bool some_work = any([](const LifeSigns& each) { return each.beat.doing == Doing::work; });

  std::vector<Condition> conditions;
  for (const LifeSigns& worker : workers) {
    // Who waits is stuck only if nobody is left who could end it.
    const bool works = worker.beat.doing == Doing::work;
    const bool is_blamed = works ? some_wait || !some_get_on : !some_work && !some_get_on;
    if (worker.beat.exit_code != 0)
      conditions.push_back(Condition::failed);
    else if (is_lost(worker, limits.limit, now))
      conditions.push_back(Condition::lost);
    else if (is_blamed && stands_still(worker, limits.limit, now))
      conditions.push_back(Condition::stuck);
    else if (is_lost(worker, limits.slow, now) ||
             (works && some_wait && stands_still(worker, limits.slow, now)))
      conditions.push_back(Condition::slow);
    else
      conditions.push_back(Condition::well);
  }
  return conditions;
}

std::optional<EndCause> end_cause(const std::vector<LifeSigns>& workers, const LifeLimits& limits,
                                  Clock::time_point now) {
  const std::vector<Condition> conditions = judge(workers, limits, now);
  for (const Condition end : {Condition::failed, Condition::lost, Condition::stuck}) {
    std::optional<std::size_t> first;
    for (std::size_t i = 0; i < workers.size(); ++i)
      if (conditions[i] == end && (!first || workers[i].moved < workers[*first].moved)) first = i;
    if (!first) continue;
    const bool all_wait = end == Condition::stuck && workers[*first].beat.doing == Doing::wait;
    return EndCause{.condition = end, .worker = all_wait ? -1 : static_cast<int>(*first)};
  }
  return std::nullopt;
}

}  // namespace lamina
