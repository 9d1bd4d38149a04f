#include "lamina/study/spread.hpp"

#include <algorithm>

namespace lamina {

Spread spread(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  const double upper = values[half];
  return {values.front(), values.size() % 2 == 1 ? upper : (values[half - 1] + upper) / 2, values.back()};
}

}  // namespace lamina
