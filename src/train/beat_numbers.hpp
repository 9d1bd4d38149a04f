#pragma once

#include <cstdint>
#include <vector>

#include "lamina/control/life_signs.hpp"
#include "lamina/pipeline/whereabouts.hpp"

namespace lamina {

/// What a worker tells of itself.
struct WorkerBeat {
  Beat beat{};
  Whereabouts where{};
  bool asks_to_stop = false;  ///< a signal has asked its process to
};

/// What worker 0 tells the others of the run's end.
struct Sentence {
  EndCause cause{};
  double standstill_s = 0;  ///< how long that worker had been silent, or in one action
  int exit_code = 0;        ///< that the run ends with
  Whereabouts where{};      ///< where that worker was
};

/// Both as numbers, to travel, and back. There are always as many of a kind.
///
/// Errors   Error{contract}: numbers that are none, such as an action that there is not.
using BeatNumbers = std::vector<std::int64_t>;
BeatNumbers numbers_of(const WorkerBeat& told);
BeatNumbers numbers_of(const Sentence& sentence);
WorkerBeat beat_of(const std::int64_t* numbers);
Sentence sentence_of(const std::int64_t* numbers);

}  // namespace lamina
