#include "beat_numbers.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "lamina/core/error.hpp"

namespace lamina {
namespace {

BeatNumbers numbers_and(BeatNumbers numbers, const Whereabouts& where) {
  const WhereaboutsNumbers at = to_numbers(where);
  numbers.insert(numbers.end(), at.begin(), at.end());
  return numbers;
}

Whereabouts last_of(const std::int64_t* numbers) {
  WhereaboutsNumbers at;
  std::copy_n(numbers, at.size(), at.begin());
  return whereabouts(at);
}

void require_between(std::int64_t number, std::int64_t least, std::int64_t most, const char* what) {
  if (number < least || number > most)
    throw Error(ErrorKind::contract, fmt::format("a beat: expected {}, found {}", what, number));
}

template <class Enum>
Enum one_of(std::int64_t number, Enum first, Enum last, const char* what) {
  require_between(number, static_cast<std::int64_t>(first), static_cast<std::int64_t>(last), what);
  return static_cast<Enum>(number);
}

int exit_code_of(std::int64_t number) {
  require_between(number, 0, 255, "an exit code");
  return static_cast<int>(number);
}

}  // namespace

BeatNumbers numbers_of(const WorkerBeat& told) {
  return numbers_and(
      {told.beat.moves, static_cast<std::int64_t>(told.beat.doing), told.beat.exit_code, told.asks_to_stop},
      told.where);
}

WorkerBeat beat_of(const std::int64_t* numbers) {
  require_between(numbers[3], 0, 1, "whether it asks to stop");
  return {.beat = {.moves = numbers[0],
                   .doing = one_of(numbers[1], Doing{}, Doing::rest, "what a worker is about"),
                   .exit_code = exit_code_of(numbers[2])},
          .where = last_of(numbers + 4),
          .asks_to_stop = numbers[3] != 0};
}

BeatNumbers numbers_of(const Sentence& sentence) {
  return numbers_and({static_cast<std::int64_t>(sentence.cause.condition), sentence.cause.worker,
                      static_cast<std::int64_t>(1e3 * sentence.standstill_s), sentence.exit_code},
                     sentence.where);
}

Sentence sentence_of(const std::int64_t* numbers) {
  constexpr std::int64_t a_year_ms = 366LL * 86'400'000;
  require_between(numbers[1], -1, 1 << 20, "a worker");
  require_between(numbers[2], 0, a_year_ms, "milliseconds");
  return {.cause = {.condition = one_of(numbers[0], Condition::stuck, Condition::failed, "what ends a run"),
                    .worker = static_cast<int>(numbers[1])},
          .standstill_s = 1e-3 * static_cast<double>(numbers[2]),
          .exit_code = exit_code_of(numbers[3]),
          .where = last_of(numbers + 4)};
}

}  // namespace lamina
