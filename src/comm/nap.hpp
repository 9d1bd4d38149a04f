#pragma once

#include "lamina/core/clock.hpp"

// How long a thread that polls sleeps between two looks: twice as long each time nothing has moved.

namespace lamina {

constexpr Seconds shortest_nap(20e-6);
constexpr Seconds longest_nap(200e-6);

}  // namespace lamina
