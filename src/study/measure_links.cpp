#include "lamina/study/measure_links.hpp"

#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "lamina/core/clock.hpp"

namespace lamina {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t large_bytes = 16 << 20;
constexpr int num_messages = 17;  // the first is not counted: memory is touched, and everybody comes together

// One lane between neighbours for each size; lane 2i is worker i's for large messages, the next for a byte.
std::vector<LaneSpec> lanes_between(int num_workers) {
  std::vector<LaneSpec> lanes;
  for (int worker = 0; worker + 1 < num_workers; ++worker)
    for (const std::int64_t bytes : {large_bytes, std::int64_t{1}})
      lanes.push_back({.from = worker, .to = worker + 1, .tensors = {{at::kByte, {bytes}}}});
  return lanes;
}

// Seconds a message from the worker before; 0 at the first, which has none.
double message_s(Transport& transport, bool large, Seconds limit) {
  const at::Tensor bytes = at::zeros({large ? large_bytes : 1}, at::kByte);
  const int worker = transport.worker(), to_next = 2 * worker + (large ? 0 : 1), from_last = to_next - 2;
  transport.all_gather("", limit);
  Stopwatch watch;
  for (int i = 0; i < num_messages; ++i) {
    if (i == 1) watch.lap_s();
    std::unique_ptr<ReceiveHandle> receive;
    if (worker > 0) receive = transport.receive(from_last);
    if (worker + 1 < transport.num_workers()) transport.send(to_next, {"", {bytes}})->wait(limit);
    if (receive) receive->wait(limit);
  }
  return worker > 0 ? watch.elapsed_s() / (num_messages - 1) : 0;
}

}  // namespace

LinkSpeed measure_links(Transport& transport, Seconds limit) {
  transport.open(lanes_between(transport.num_workers()));
  const double large_s = message_s(transport, /*large=*/true, limit);
  const double small_s = message_s(transport, /*large=*/false, limit);
  LinkSpeed slowest;
  double slowest_s = 0;
  for (const std::string& text : transport.all_gather(Json({large_s, small_s}).dump(), limit)) {
    const Json times = Json::parse(text);
    const double one_s = times.at(0), latency_s = times.at(1);
    if (one_s <= slowest_s) continue;
    slowest_s = one_s;
    slowest = {.bytes_per_s = static_cast<double>(large_bytes) / one_s, .latency_s = latency_s};
  }
  return slowest;
}

}  // namespace lamina
