#pragma once

#include <vector>

namespace lamina {

/// What repeated measurements of one thing say.
struct Spread {
  double lowest = 0;
  double median = 0;  ///< of an even number, the mean of the middle two
  double highest = 0;
};

/// @param values  at least one.
Spread spread(std::vector<double> values);

}  // namespace lamina
