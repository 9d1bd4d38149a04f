#include "lamina/nn/leap.hpp"

#include "lamina/core/error.hpp"

namespace lamina {

std::vector<std::vector<std::int64_t>> leap_sets(const Backbone& backbone,
                                                 const std::vector<std::int64_t>& ends, const WordOrLists&,
                                                 bool) {
  std::vector<std::vector<std::int64_t>> sets;
  const auto last = static_cast<std::int64_t>(backbone.blocks.size()) - 1;
  for (const std::int64_t end : ends) {
    std::vector<std::int64_t> set;
    for (std::int64_t b = end + 1; b < last; ++b)
      if (backbone.blocks[b].in.channels != backbone.blocks[b].out.channels) set.push_back(b);
    set.push_back(last);
    sets.push_back(std::move(set));
  }
  return sets;
}

}  // namespace lamina
