#include "lamina/control/life_signs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <optional>

namespace lamina {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;

constexpr LifeLimits limits{.slow = Seconds(6), .limit = Seconds(60)};
const Clock::time_point start{};

// Workers as they are heard of once a second: `beats` says each one's beat of a second, or nothing.
std::vector<LifeSigns> after(
    int num_seconds, const std::vector<std::function<std::optional<Beat>(std::int64_t second)>>& beats) {
  std::vector<LifeSigns> workers(beats.size(), LifeSigns(start));
  for (int second = 1; second <= num_seconds; ++second)
    for (std::size_t i = 0; i < beats.size(); ++i)
      if (const auto beat = beats[i](second)) workers[i].take(*beat, start + seconds(second));
  return workers;
}

using Said = std::function<std::optional<Beat>(std::int64_t)>;
const Said gets_on = [](std::int64_t second) { return Beat{.moves = second, .doing = Doing::work}; };
const Said works = [](std::int64_t) { return Beat{.moves = 1, .doing = Doing::work}; };
const Said waits = [](std::int64_t) { return Beat{.moves = 1, .doing = Doing::wait}; };
const Said rests = [](std::int64_t) { return Beat{.moves = 1, .doing = Doing::rest}; };
const Said falls_silent = [](std::int64_t second) {
  return second < 5 ? std::optional(Beat{.moves = second, .doing = Doing::work}) : std::nullopt;
};

std::vector<Condition> judged(int second, const std::vector<Said>& said) {
  return judge(after(second, said), limits, start + seconds(second));
}

std::optional<EndCause> cause_at(int second, const std::vector<Said>& said) {
  return end_cause(after(second, said), limits, start + seconds(second));
}

TEST(LifeSigns, WhoGetsOnIsWellHoweverLong) {
  EXPECT_THAT(judged(100'000, {gets_on, gets_on}), ElementsAre(Condition::well, Condition::well));
  EXPECT_EQ(cause_at(100'000, {gets_on, gets_on}), std::nullopt);
}

TEST(LifeSigns, WhoHasLostItsConnectionIsLostAtOnce) {
  std::vector<LifeSigns> workers = after(3, {gets_on, gets_on});
  workers[1].gone = true;
  EXPECT_EQ(end_cause(workers, limits, start + seconds(3)), (EndCause{Condition::lost, 1}));
}

TEST(LifeSigns, SilenceIsSlownessAndThenALoss) {
  EXPECT_EQ(judged(10, {gets_on, falls_silent})[1], Condition::well);
  EXPECT_EQ(judged(11, {gets_on, falls_silent})[1], Condition::slow);
  EXPECT_EQ(judged(64, {gets_on, falls_silent})[1], Condition::slow);
  EXPECT_EQ(cause_at(64, {gets_on, falls_silent}), std::nullopt);
  EXPECT_EQ(cause_at(65, {gets_on, falls_silent}), (EndCause{Condition::lost, 1}));
}

TEST(LifeSigns, WhoIsSilentFromTheBeginningIsLostToo) {
  const Said says_nothing = [](std::int64_t) { return std::nullopt; };
  EXPECT_EQ(cause_at(61, {gets_on, says_nothing}), (EndCause{Condition::lost, 1}));
}

TEST(LifeSigns, WhoKeepsOthersWaitingInOneActionIsSlowAndThenStuck) {
  EXPECT_THAT(judged(8, {waits, works, waits}),
              ElementsAre(Condition::well, Condition::slow, Condition::well));
  EXPECT_EQ(cause_at(61, {waits, works, waits}), std::nullopt);
  EXPECT_EQ(cause_at(62, {waits, works, waits}), (EndCause{Condition::stuck, 1}));
}

TEST(LifeSigns, WhoNobodyWaitsForMayTakeItsTime) {
  EXPECT_THAT(judged(500, {gets_on, works}), ElementsAre(Condition::well, Condition::well));
}

TEST(LifeSigns, OneThatGetsOnAgainIsWell) {
  const Said pauses = [](std::int64_t second) {
    return Beat{.moves = second < 50 ? 1 : second, .doing = Doing::work};
  };
  EXPECT_EQ(judged(49, {waits, pauses})[1], Condition::slow);
  EXPECT_EQ(judged(50, {waits, pauses})[1], Condition::well);
}

TEST(LifeSigns, AloneOneThatDoesNotGetOnIsStuck) {
  EXPECT_EQ(cause_at(62, {works}), (EndCause{Condition::stuck, 0}));
}

TEST(LifeSigns, IfAllWaitForOneAnotherNobodyIsToBlame) {
  EXPECT_EQ(cause_at(61, {waits, waits, rests}), std::nullopt);
  EXPECT_EQ(cause_at(62, {waits, waits, rests}), (EndCause{Condition::stuck, -1}));
}

TEST(LifeSigns, RestingWorkersAreLeftAlone) {
  EXPECT_EQ(cause_at(100'000, {rests, rests}), std::nullopt);
  EXPECT_EQ(cause_at(100'000, {gets_on, rests}), std::nullopt);
}

TEST(LifeSigns, OfTwoThatStandStillTheFirstIsBlamed) {
  const Said stops_later = [](std::int64_t second) {
    return Beat{.moves = std::min<std::int64_t>(second, 9), .doing = Doing::work};
  };
  EXPECT_EQ(cause_at(80, {stops_later, waits, works}), (EndCause{Condition::stuck, 2}));
}

TEST(LifeSigns, AFailureGoesBeforeALossAndThatBeforeAStandstill) {
  const Said fails = [](std::int64_t second) {
    return Beat{.moves = 1, .doing = Doing::work, .exit_code = second > 70 ? 5 : 0};
  };
  EXPECT_EQ(cause_at(70, {works, falls_silent, fails, waits}), (EndCause{Condition::lost, 1}));
  EXPECT_EQ(cause_at(71, {works, falls_silent, fails, waits}), (EndCause{Condition::failed, 2}));
}

TEST(LifeSigns, WhatHeldTheListenerUpIsNobodysSilence) {
  std::vector<LifeSigns> workers = after(10, {gets_on, gets_on});
  for (LifeSigns& worker : workers) worker.pardon(seconds(500));
  EXPECT_EQ(end_cause(workers, limits, start + seconds(510)), std::nullopt);
  EXPECT_EQ(end_cause(workers, limits, start + seconds(570 + 1)), (EndCause{Condition::lost, 0}));
}

}  // namespace
}  // namespace lamina
