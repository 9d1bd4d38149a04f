#pragma once

#include <cstddef>
#include <numeric>
#include <vector>

#include "lamina/control/run_figures.hpp"

namespace lamina {

/// A run of three modules in two stages, every number of which is another.
inline RunFigures some_figures() {
  RunFigures figures;
  figures.modules = {{.stage = 0}, {.stage = 0}, {.stage = 1}};
  figures.stages = {{.worker = 0}, {.worker = 2}};
  std::vector<double> numbers(to_numbers(figures).size());
  std::iota(numbers.begin(), numbers.end(), 1.25);
  set_numbers(figures, numbers);
  return figures;
}

}  // namespace lamina
