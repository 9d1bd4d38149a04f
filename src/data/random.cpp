#include "data/random.hpp"

#include <numeric>
#include <utility>

namespace lamina {

std::vector<std::int64_t> draw_permutation(at::Philox4_32 engine, std::int64_t size) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  for (std::size_t rest = order.size(); rest > 1; --rest) {
    std::swap(order[rest - 1], order[draw_below(engine, static_cast<std::uint32_t>(rest))]);
  }
  return order;
}

}  // namespace lamina
