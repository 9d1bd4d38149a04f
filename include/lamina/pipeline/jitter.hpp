#pragma once

#include <cstdint>

namespace lamina {

/// Which time is drawn: equal keys draw equal factors, whoever asks and in whatever order.
struct JitterKey {
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;  ///< a stage's
  std::uint64_t number = 0;  ///< a step's
};

/// What a time of mean 1 comes to: log-normal with that standard deviation; 1 where it is 0.
double jitter(double deviation, const JitterKey& key);

}  // namespace lamina
