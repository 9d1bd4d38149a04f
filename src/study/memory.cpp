#include "lamina/study/memory.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <atomic>

#include "lamina/study/profile.hpp"

namespace lamina {
namespace {

// LibTorch's allocators tell the thread's profiler, if there is one, of every block.
struct Count : c10::MemoryReportingInfoBase {
  std::atomic<std::int64_t> live = 0, peak = 0;

  void reportMemoryUsage(void*, std::int64_t num_bytes, std::size_t, std::size_t, c10::Device) override {
    const std::int64_t now = live += num_bytes;
    std::int64_t known = peak;
    while (now > known && !peak.compare_exchange_weak(known, now)) {
    }
  }
  bool memoryProfilingEnabled() const override { return true; }
};

}  // namespace

struct TensorBytes::State {
  std::shared_ptr<Count> count = std::make_shared<Count>();
  c10::DebugInfoGuard guard{c10::DebugInfoKind::PROFILER_STATE, count};
};

TensorBytes::TensorBytes() : state_(std::make_unique<State>()) {}
TensorBytes::~TensorBytes() = default;

std::int64_t TensorBytes::live() const {
  return state_->count->live;
}

std::int64_t TensorBytes::take_peak() {
  return state_->count->peak.exchange(state_->count->live);
}

std::vector<ModuleMemory> measure_memory(const RunPlan& plan) {
  TensorBytes bytes;
  at::set_num_threads(static_cast<int>(*plan.config.pipeline.threads));
  const Initializer init = plan.initializer();
  std::vector<ModuleMemory> all;
  for (const StageSpec& spec : plan.stages) {
    const std::int64_t before = bytes.live();
    Stage stage(spec, plan.stage_options, init);
    StageProbe probe(stage, plan);
    probe.step_s();  // makes the momentum
    std::vector<ModuleMemory> of_stage;
    const auto close = [&] {
      const std::int64_t peak = bytes.take_peak() - before;
      if (!of_stage.empty()) of_stage.back().peak_bytes = peak;
    };
    stage.observe_modules([&](std::int64_t module, bool shadow) {
      close();
      of_stage.push_back({spec.index, module, shadow, 0});
    });
    probe.step_s();
    close();
    all.insert(all.end(), of_stage.begin(), of_stage.end());
  }
  return all;
}

}  // namespace lamina
