#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lamina/pipeline/stage_cut.hpp"
#include "lamina/train/run_config.hpp"
#include "pipeline/small_network.hpp"

// A small network in two stages, for tests of what is written of them.
namespace lamina::tests {

inline std::string config_yaml() {
  return to_yaml(list_fields(RunConfig{}));
}

inline std::vector<Stage> two_stages(std::uint64_t seed) {
  const auto cut = cut_into_stages(small_modules(), std::vector<std::int64_t>{1});
  std::vector<Stage> stages;
  for (const StageSpec& spec : make_stage_specs(cut, 1, true))
    stages.emplace_back(spec, StageOptions{}, Initializer(seed));
  return stages;
}

inline void step(std::vector<Stage>& stages, int number) {
  Packet packet = train_packet(number, 6);
  for (Stage& stage : stages) packet = stage.process(std::move(packet));
}

}  // namespace lamina::tests
