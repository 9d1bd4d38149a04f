#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "lamina/control/run_figures.hpp"

namespace lamina {

/// What a frame of `lamina top` is drawn from.
struct RunSight {
  std::string where;    ///< the run's directory or endpoint
  RunFigures before{};  ///< where the interval begins whose shares and rates are shown
  RunFigures now{};
  std::string state{};  ///< what else there is to say, e.g. that the run has ended
};

/// The lines of a frame: the run's progress, and a row a stage with where its worker's time went in the
/// interval, memory, snapshot age, and loss and accuracy of its last module. Each line has at most `width`
/// characters, and there are at most `height` lines; stages that find no room are counted.
std::vector<std::string> frame_of(const RunSight& sight, std::size_t width = 100,
                                  std::size_t height = std::numeric_limits<std::size_t>::max());

}  // namespace lamina
