#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lamina/comm/snapshot.hpp"
#include "lamina/comm/transport.hpp"
#include "lamina/nn/module.hpp"
#include "lamina/nn/sgd.hpp"
#include "lamina/pipeline/packet.hpp"
#include "lamina/pipeline/stage_spec.hpp"

namespace lamina {

/// How a stage's modules are trained.
struct StageOptions {
  SgdConfig sgd{};
  std::int64_t window = 1;  ///< k of METHOD section 3
  double ema_momentum = 0.995;
  double sleep_s = 0;  ///< > 0: a training step sleeps so long and computes nothing, for studies of schedules
  double sleep_deviation = 0;  ///< of that time from step to step, as a part of it: see jitter()
};

/// Sees every gradient of a step, by the parameter's name, before the optimizer uses it.
using GradientObserver = std::function<void(const std::string& name, const at::Tensor& grad)>;

/// Begins to add up gradients over a stage's replicas; never waits.
using BeginSum = std::function<std::unique_ptr<SumHandle>(const std::vector<at::Tensor>&)>;

/// Told whenever a training step comes to a module, or to the shadow of one.
using ModuleObserver = std::function<void(std::int64_t module, bool shadow)>;

/// The modules that one worker trains together, with their branches, EMAs and optimizers, and the shadows of
/// what later stages hold. Knows no rank and no thread.
/// A replica gets a share of every batch and reports its share of the mean losses (Packet::batch).
///
/// Threads  one at a time.
/// Device   its tensors', which is the Initializer's; packets come and leave there.
/// Memory   between steps parameters, momentum, buffers and shadows only; within a step the graphs of at most
///          k modules (METHOD section 6) and of one branch.
class Stage {
 public:
  struct Part {
    Module module;
    Sgd optimizer;  ///< of the module's parameters, in their order
  };

  Stage(const StageSpec& spec, const StageOptions& options, const Initializer& init);
  Stage(Stage&&) = default;
  Stage& operator=(Stage&&) = default;

  int index() const { return spec_.index; }
  const StageSpec& spec() const { return spec_; }
  at::Device device() const;

  /// One training step, or one evaluation forward, by the packet's kind. The packet goes out with this
  /// stage's output, detached, and its reports; the network's last stage leaves no activation. Marks are not
  /// for a stage. Before a training step every shadow has to have been filled.
  Packet process(Packet packet);

  /// Fills the shadow of the snapshot's part. @throws Error{contract} for a part that is not shadowed here,
  /// or another shape.
  void fill(const Snapshot& snapshot);

  /// A copy on the CPU of a part that this stage owns, as it is now. @throws Error{contract} if it owns none
  /// of that name.
  Snapshot copy_part(const std::string& part, std::int64_t version) const;
  /// The tensors themselves, in the order of a snapshot's.
  std::vector<at::Tensor> part_tensors(const std::string& part) const;
  /// The tensors that fill() fills, by part.
  const std::map<std::string, std::vector<at::Tensor>>& shadows() const { return shadows_; }

  const std::vector<Part>& parts() const { return parts_; }

  /// From now on gradients are added up over the stage's replicas, module by module, while further modules
  /// are pulled back; a module is updated once its sums are there. Without `begin` no more.
  void share_gradients(BeginSum begin, Seconds limit);

  void observe_gradients(GradientObserver observer) { gradient_observer_ = std::move(observer); }
  void observe_modules(ModuleObserver observer) { module_observer_ = std::move(observer); }

 private:
  at::Tensor train(Packet& packet);
  at::Tensor sleep(Packet& packet) const;
  at::Tensor output_of(const at::Tensor& x_BCHW) const;
  at::Tensor eval(Packet& packet) const;
  ModuleReport train_branches(const Module& module, const at::Tensor& features, const Packet& packet,
                              class WindowSweep& sweep) const;
  void update(std::size_t part, std::vector<at::Tensor> grads, const Packet& packet);
  void finish_updates(double lr);
  void apply(std::size_t part, const std::vector<at::Tensor>& grads, double lr);

  struct Sum {
    std::size_t part;
    std::unique_ptr<SumHandle> gradients;
  };

  StageSpec spec_;
  StageOptions options_;
  std::vector<Part> parts_;
  std::vector<ShadowModule> lookahead_;
  std::map<std::string, Block> foreign_emas_;  // by the block's name
  EmaBlocks emas_;                             // own and foreign
  std::map<std::string, std::vector<at::Tensor>> shadows_;
  BeginSum begin_sum_;
  Seconds sum_limit_{0};
  std::deque<Sum> sums_;  // of the modules that are not updated yet, in the order of their beginning
  double sum_wait_s_ = 0;
  GradientObserver gradient_observer_;
  ModuleObserver module_observer_;
};

}  // namespace lamina
