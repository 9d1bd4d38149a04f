#include "lamina/study/profile.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "lamina/core/clock.hpp"

namespace lamina {
namespace {

constexpr int warmup_steps = 2;

Packet made_up_packet(const ModuleSpec& module, std::int64_t batch, at::MemoryFormat format) {
  const FeatureShape& in = module.in;
  Packet packet;
  packet.x_BCHW = at::randn({batch, in.channels, in.height, in.width}).contiguous(format);
  packet.y_B = at::zeros({batch}, at::kLong);
  return packet;
}

}  // namespace

double measure_stage(Stage& stage, std::int64_t batch, at::MemoryFormat format, int repeats) {
  const Packet packet = made_up_packet(stage.parts().front().module.spec(), batch, format);
  std::vector<double> seconds;
  for (int i = 0; i < warmup_steps + repeats; ++i) {
    const Stopwatch watch;
    stage.process(packet);
    if (i >= warmup_steps) seconds.push_back(watch.elapsed_s());
  }
  std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2, seconds.end());
  return seconds[seconds.size() / 2];
}

std::vector<double> measure_modules(const RunPlan& plan, int repeats) {
  at::set_num_threads(static_cast<int>(*plan.config.pipeline.threads));
  const Initializer init(static_cast<std::uint64_t>(plan.config.train.seed), at::kFloat, plan.format());
  std::vector<double> seconds;
  for (const ModuleSpec& module : plan.modules) {
    Stage alone(0, {module}, plan.config.train.sgd, init);
    seconds.push_back(measure_stage(alone, plan.config.train.batch, plan.format(), repeats));
  }
  return seconds;
}

}  // namespace lamina
