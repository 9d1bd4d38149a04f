#include "comm/gather_timeout.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace lamina {

Error gather_timeout(int worker, Seconds limit, const std::vector<std::string>& missing, int num_workers) {
  return Error(
      ErrorKind::timeout,
      fmt::format("worker {} waited {} s for all of {} workers, but {} {} not come", worker, limit.count(),
                  num_workers, fmt::join(missing, ", "), missing.size() == 1 ? "has" : "have"));
}

}  // namespace lamina
