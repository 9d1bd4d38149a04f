#include "clock_alignment.hpp"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

namespace lamina {
namespace {

constexpr int num_rounds = 9;  // the first only brings everybody together

double now_s() {
  return Seconds(Clock::now().time_since_epoch()).count();
}

}  // namespace

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(GatherTimes, entered_s, left_s)

ClockOffset offset_to_first(const std::vector<GatherTimes>& first, const std::vector<GatherTimes>& mine) {
  double least = -std::numeric_limits<double>::infinity();
  double most = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < first.size(); ++i) {
    least = std::max(least, first[i].entered_s - mine.at(i).left_s);
    most = std::min(most, first[i].left_s - mine[i].entered_s);
  }
  return {.offset_s = (least + most) / 2, .error_s = (most - least) / 2};
}

ClockOffset align_clocks(Transport& transport, Seconds limit) {
  std::vector<GatherTimes> mine;
  for (int round = 0; round < num_rounds; ++round) {
    const double entered_s = now_s();
    transport.all_gather("", limit);
    mine.push_back({entered_s, now_s()});
  }
  const nlohmann::json times = mine;
  const std::string first = transport.all_gather(times.dump(), limit).front();
  if (transport.worker() == 0) return {};
  return offset_to_first(nlohmann::json::parse(first).get<std::vector<GatherTimes>>(), mine);
}

}  // namespace lamina
