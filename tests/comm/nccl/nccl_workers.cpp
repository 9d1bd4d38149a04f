#include "comm/nccl/nccl_workers.hpp"

#include <ATen/ATen.h>

#include "comm/run_workers.hpp"
#include "lamina/comm/inprocess.hpp"
#include "lamina/comm/nccl.hpp"

namespace lamina {

void run_nccl_workers(int num_workers, const std::vector<LaneSpec>& lanes,
                      const std::function<void(Transport&)>& body, NcclOptions options) {
  options.device = at::kCPU;
  options.open_limit = Seconds(60);
  Transports workers;
  for (std::unique_ptr<Transport>& host : make_inprocess_transports(num_workers))
    workers.push_back(make_nccl_transport(std::move(host), options));
  run_workers(workers, [&](Transport& worker) {
    worker.open(lanes);
    body(worker);
  });
  // They leave the communicator together.
  std::vector<std::jthread> threads;
  for (std::unique_ptr<Transport>& worker : workers) threads.emplace_back([&worker] { worker.reset(); });
}

std::vector<LaneSpec> chain_of(int num_workers) {
  std::vector<LaneSpec> lanes;
  for (int from = 0; from + 1 < num_workers; ++from)
    lanes.push_back({.from = from, .to = from + 1, .tensors = {{at::kFloat, {4, 64}}}});
  return lanes;
}

Message message_of(float value) {
  return {.header = "m", .tensors = {at::full({4, 64}, value)}};
}

float value_of(const Message& found) {
  return found.tensors.at(0)[0][0].item<float>();
}

}  // namespace lamina
