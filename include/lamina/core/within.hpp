#pragma once

#include <future>
#include <optional>
#include <thread>
#include <utility>

#include "lamina/core/clock.hpp"

namespace lamina {

/// What `work` returns, if it ends within the limit; nothing if it takes longer: then it is left behind on a
/// thread of its own, and nobody hears of its end, so it has to hold what it uses. Blocking, for `limit` at
/// most.
/// @throws what `work` throws within the limit.
template <class Work>
auto within(Seconds limit, Work work) -> std::optional<decltype(work())> {
  using Result = decltype(work());
  std::packaged_task<Result()> task(std::move(work));
  std::future<Result> result = task.get_future();
  std::thread(std::move(task)).detach();
  if (result.wait_for(for_a_wait(limit)) != std::future_status::ready) return std::nullopt;
  return result.get();
}

}  // namespace lamina
