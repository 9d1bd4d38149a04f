#include "lamina/study/stage_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "lamina/core/error.hpp"
#include "lamina/core/process.hpp"
#include "lamina/pipeline/share.hpp"

namespace lamina {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

double pace(const PlannedStage& stage) {
  return std::max(stage.seconds, stage.send_s);
}

// On so many workers, of which the slowest has this speed.
PlannedStage planned(const StageProblem& problem, const StageCost& cost, PlannedStage stage, double speed) {
  const int replicas = stage.replicas;
  const double share = largest_share(problem.batch, replicas);
  stage.seconds = share * cost.seconds / speed;
  stage.bytes = cost.bytes;
  stage.forward_share = cost.forward_share;
  if (problem.bytes_per_s == 0) return stage;
  stage.seconds += 2 * cost.gradient_bytes * (replicas - 1) / replicas / problem.bytes_per_s;
  if (stage.last + 1 < problem.num_pieces) stage.send_s = share * cost.message_bytes / problem.bytes_per_s;
  return stage;
}

StagePlan plan_of(std::vector<PlannedStage> stages) {
  StagePlan plan{.stages = std::move(stages)};
  const auto slowest =
      std::max_element(plan.stages.begin(), plan.stages.end(),
                       [](const PlannedStage& a, const PlannedStage& b) { return pace(a) < pace(b); });
  plan.step_s = pace(*slowest);
  plan.slowest = static_cast<int>(slowest - plan.stages.begin());
  plan.by_link = slowest->send_s > slowest->seconds;
  return plan;
}

// Plans of the first pieces on the first workers, from those of fewer.
class Search {
 public:
  explicit Search(const StageProblem& problem)
      : problem_(problem), num_workers_(static_cast<int>(problem.speeds.size())) {
    const auto n = static_cast<std::size_t>(problem.num_pieces);
    costs_.resize(n * n);
    given_.resize(problem.speeds.size() + 1);
    std::size_t end = 0;
    for (const int replicas : problem.replicas)
      given_.at(end += static_cast<std::size_t>(replicas)) = replicas;
    for (int first = 0; first < problem.num_pieces; ++first)
      for (int last = first; last < problem.num_pieces; ++last)
        costs_[place(first, last)] = problem.cost(first, last);
  }

  // `score(stage, before)`: of a plan that ends with this stage behind one of score `before`; infinity where
  // that cannot be. Nothing if nothing can be.
  template <class Score>
  std::optional<std::vector<PlannedStage>> best(const Score& score) const {
    const int pieces = problem_.num_pieces;
    struct Entry {
      double score = infinity;
      PlannedStage stage{};
    };
    std::vector<std::vector<Entry>> best(static_cast<std::size_t>(num_workers_) + 1,
                                         std::vector<Entry>(static_cast<std::size_t>(pieces) + 1));
    best[0][0].score = 0;
    for (int workers = 1; workers <= num_workers_; ++workers)
      for (int end = 1; end <= pieces; ++end)
        for (int replicas = fewest(workers); replicas <= most(workers); ++replicas)
          for (int first = 0; first < end; ++first) {
            const double before = best[index(workers - replicas)][index(first)].score;
            if (before == infinity) continue;
            const PlannedStage stage = stage_of(first, end - 1, workers - replicas, replicas);
            const double found = score(stage, before);
            Entry& entry = best[index(workers)][index(end)];
            if (found < entry.score) entry = {found, stage};
          }
    if (best[index(num_workers_)][index(pieces)].score == infinity) return std::nullopt;
    std::vector<PlannedStage> stages;
    for (int workers = num_workers_, end = pieces; workers > 0;) {
      stages.push_back(best[index(workers)][index(end)].stage);
      workers = stages.back().first_worker;
      end = stages.back().first;
    }
    std::reverse(stages.begin(), stages.end());
    return stages;
  }

  bool fits(const PlannedStage& stage) const { return stage.bytes <= problem_.most_bytes; }

 private:
  // Replicas of a stage whose last worker is the one of this number, from 1 on.
  int fewest(int workers) const {
    return problem_.replicas.empty() ? 1 : std::max(1, given_[index(workers)]);
  }
  int most(int workers) const {
    return problem_.replicas.empty() ? std::min(workers, problem_.most_replicas) : given_[index(workers)];
  }
  static std::size_t index(int value) { return static_cast<std::size_t>(value); }
  std::size_t place(int first, int last) const {
    return index(first) * index(problem_.num_pieces) + index(last);
  }

  PlannedStage stage_of(int first, int last, int first_worker, int replicas) const {
    const auto speeds = problem_.speeds.begin() + first_worker;
    return planned(problem_, costs_[place(first, last)], {first, last, first_worker, replicas},
                   *std::min_element(speeds, speeds + replicas));
  }

  const StageProblem& problem_;
  const int num_workers_;
  std::vector<StageCost> costs_;  // by first and last
  std::vector<int> given_{};      // replicas, by the number of their last worker; 0 where no stage may end
};

[[noreturn]] void refuse_memory(const StageProblem& problem, const Search& search) {
  const auto least =
      search.best([](const PlannedStage& stage, double before) { return std::max(before, stage.bytes); });
  double bytes = 0;
  for (const PlannedStage& stage : *least) bytes = std::max(bytes, stage.bytes);
  throw Error(
      ErrorKind::config,
      fmt::format("memory: no cut for {} worker(s) keeps each within {:.1f} MiB; the least that would do is "
                  "{:.1f} MiB",
                  problem.speeds.size(), problem.most_bytes / mib, std::ceil(10 * bytes / mib) / 10));
}

}  // namespace

std::vector<std::int64_t> StagePlan::ends() const {
  std::vector<std::int64_t> ends;
  for (std::size_t i = 0; i + 1 < stages.size(); ++i) ends.push_back(stages[i].last);
  return ends;
}

double largest_share(std::int64_t batch, int replicas) {
  if (batch == 0) return 1.0 / replicas;
  const Share last = share_of(batch, {.index = replicas - 1, .of = replicas});
  return static_cast<double>(last.count()) / static_cast<double>(batch);
}

StagePlan plan_stages(const StageProblem& problem) {
  const std::size_t workers = problem.speeds.size();
  const std::size_t stages = !problem.replicas.empty()    ? problem.replicas.size()
                             : problem.most_replicas == 1 ? workers
                                                          : 1;
  if (stages > static_cast<std::size_t>(problem.num_pieces))
    throw Error(ErrorKind::config,
                fmt::format("cannot cut {} modules into {} stages", problem.num_pieces, stages));
  const Search search(problem);
  const auto fastest = search.best([&](const PlannedStage& stage, double before) {
    return search.fits(stage) ? std::max(before, pace(stage)) : infinity;
  });
  if (!fastest) refuse_memory(problem, search);
  double step_s = 0;
  for (const PlannedStage& stage : *fastest) step_s = std::max(step_s, pace(stage));
  // Two passes, since a beginning that is not the fastest may still lead to the smallest squares.
  const auto even = search.best([&](const PlannedStage& stage, double before) {
    return search.fits(stage) && pace(stage) <= step_s ? before + stage.seconds * stage.seconds : infinity;
  });
  return plan_of(*even);
}

StagePlan with_a_replica(const StageProblem& problem, StagePlan plan) {
  PlannedStage stage = plan.stages[static_cast<std::size_t>(plan.slowest)];
  ++stage.replicas;
  plan.stages[static_cast<std::size_t>(plan.slowest)] =
      planned(problem, problem.cost(stage.first, stage.last), stage, /*speed=*/1);
  for (std::size_t i = static_cast<std::size_t>(plan.slowest) + 1; i < plan.stages.size(); ++i)
    ++plan.stages[i].first_worker;
  return plan_of(std::move(plan.stages));
}

}  // namespace lamina
