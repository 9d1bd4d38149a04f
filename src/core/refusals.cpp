#include "lamina/core/refusals.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>
#include <vector>

#include "lamina/core/log.hpp"

namespace lamina {

void Refusals::note(const std::string& kind, const std::string& stranger, const std::string& why) {
  if (++counts_[kind] == 1) log_warning(fmt::format("{} turned away {}: {}", who_, stranger, why));
}

void Refusals::sum_up() {
  std::int64_t all = 0;
  std::vector<std::string> parts;
  for (const auto& [kind, count] : std::exchange(counts_, {})) {
    all += count;
    parts.push_back(fmt::format("{} {}", count, kind));
  }
  if (all > static_cast<std::int64_t>(parts.size()))
    log_warning(fmt::format("{} turned away {} strangers in all: {}", who_, all, fmt::join(parts, ", ")));
}

}  // namespace lamina
