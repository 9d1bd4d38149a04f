#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "lamina/study/simulate.hpp"

namespace lamina {
namespace {

std::vector<std::pair<const char*, double>> categories(const SimulatedWorker& worker) {
  return {{"compute", worker.compute_s},
          {"wait for input", worker.wait_input_s},
          {"wait for room", worker.wait_room_s},
          {"wait for replicas", worker.replicas_s},
          {"snapshot", worker.snapshot_s}};
}

std::string line(const Simulation& simulation, std::size_t number) {
  const SimulatedWorker& worker = simulation.workers[number];
  std::string text = fmt::format("  worker {:<4} stages {:<8} {:9.3f} ms a step:", number,
                                 fmt::format("{}", fmt::join(worker.stages, ",")), 1e3 * worker.own_s);
  for (const auto& [name, seconds] : categories(worker))
    text += fmt::format("  {} {:.2f} %", name, 100 * seconds / worker.total_s());
  return text + '\n';
}

}  // namespace

std::string to_table(const Simulation& simulation, std::int64_t batch, std::size_t max_workers) {
  std::string text =
      fmt::format("{} worker(s): {:.4f} steps/s", simulation.workers.size(), 1 / simulation.step_s);
  if (batch > 0) text += fmt::format(", {:.1f} images/s", static_cast<double>(batch) / simulation.step_s);
  text += fmt::format(", pipeline efficiency {:.3f} of 1/(slowest worker), filled after {:.3f} ms\n",
                      simulation.efficiency, 1e3 * simulation.fill_s);
  const std::size_t shown = std::min(max_workers, simulation.workers.size());
  for (std::size_t number = 0; number < shown; ++number) text += line(simulation, number);
  const auto slowest = static_cast<std::size_t>(simulation.slowest);
  if (shown < simulation.workers.size())
    text += fmt::format("  {} more; of all, the slowest:\n{}", simulation.workers.size() - shown,
                        line(simulation, slowest));
  return text + fmt::format("limit: {}\n", simulation.limit);
}

std::string to_json_text(const Simulation& simulation, std::int64_t batch) {
  using Json = nlohmann::json;
  Json json = {{"steps", simulation.steps},
               {"steps_per_s", 1 / simulation.step_s},
               {"fill_s", simulation.fill_s},
               {"pipeline_efficiency", simulation.efficiency},
               {"slowest_worker", simulation.slowest},
               {"limit", simulation.limit}};
  if (batch > 0) json["images_per_s"] = static_cast<double>(batch) / simulation.step_s;
  for (const SimulatedWorker& worker : simulation.workers) {
    Json share;
    for (const auto& [name, seconds] : categories(worker)) share[name] = seconds / worker.total_s();
    json["workers"].push_back(
        {{"stages", worker.stages}, {"own_seconds", worker.own_s}, {"share_of_time", std::move(share)}});
  }
  return json.dump(2) + "\n";
}

}  // namespace lamina
