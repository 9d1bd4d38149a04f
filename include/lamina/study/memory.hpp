#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "lamina/train/run_plan.hpp"

namespace lamina {

/// Counts the bytes of the tensors that this thread, and LibTorch's on its behalf, make and give back while
/// the counter is there: what the tensors ask for, not what the allocator keeps.
///
/// Threads  one, in which it is made and destroyed; only the innermost counts.
class TensorBytes {
 public:
  TensorBytes();
  ~TensorBytes();

  std::int64_t live() const;
  /// The largest `live()` since the last call, or since the count began.
  std::int64_t take_peak();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// What a module's turn in a training step needs at most: its stage's parameters and shadows, the graphs that
/// are open by then, its own branches.
struct ModuleMemory {
  int stage = 0;
  std::int64_t module = 0;
  bool shadow = false;  ///< of a later stage's module
  std::int64_t peak_bytes = 0;
};

/// Steps every stage of the plan by itself on a made-up batch; only one is there at a time.
std::vector<ModuleMemory> measure_memory(const RunPlan& plan);

}  // namespace lamina
