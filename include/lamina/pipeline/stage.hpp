#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lamina/comm/host_copies.hpp"
#include "lamina/comm/snapshot.hpp"
#include "lamina/comm/transport.hpp"
#include "lamina/nn/module.hpp"
#include "lamina/nn/precision.hpp"
#include "lamina/nn/sgd.hpp"
#include "lamina/pipeline/jitter.hpp"
#include "lamina/pipeline/packet.hpp"
#include "lamina/pipeline/stage_spec.hpp"

namespace lamina {

/// What a stage does about a training step of which a loss, or the norm of a module's gradients, is NaN or
/// infinite (beyond 1e19 a norm is infinite, too, in float32).
enum class OnNonfinite {
  /// Error{nonfinite} ends the run. The stage has been updated by then and is spoilt.
  stop,
  /// The stage leaves the step out: its parameters, momentum, running statistics and EMAs stay as the step
  /// found them, to the bit, and are published as the next version. So do all later stages (Packet::skipped);
  /// earlier ones keep their update. No module is updated before all of the stage's gradients are there, so
  /// they are all held until then.
  skip,
  /// The stage is spoilt and says so: it passes on this step and all that follow, as if it had skipped them
  /// (Packet::abandoned), until the run's end, which is to be resumed from a checkpoint. All replicas of the
  /// stage do so at the same step.
  rollback,
};

/// How a stage's modules are trained.
struct StageOptions {
  SgdConfig sgd{};
  std::int64_t window = 1;  ///< k, the modules that one cascaded loss trains: docs/method.md, Windows
  double ema_momentum = 0.995;
  double sleep_s = 0;  ///< > 0: a training step sleeps so long and computes nothing, for studies of schedules
  double sleep_deviation = 0;  ///< of that time from step to step, as a part of it: see jitter()
  int micro_batches = 0;       ///< > 0: trained end to end, the batch in so many pieces
  bool recompute = false;      ///< end to end: keep a piece's input alone and run it again for its backward
  bool two_versions = false;   ///< end to end: a step's gradients are those at the parameters of one step ago
  Precision precision = Precision::fp32;
  /// > 0: a module's gradients, of its blocks and branches together and summed over replicas, are scaled down
  /// to this norm where they are longer, as torch.nn.utils.clip_grad_norm_ does it.
  double clip_grad_norm = 0;
  OnNonfinite on_nonfinite = OnNonfinite::stop;  ///< end to end: stop
  std::int64_t max_skips = 0;  ///< steps in a row that are left out; one more is an Error{nonfinite}; 0: any
  bool rounds_output = false;  ///< what leaves the stage is bfloat16, whoever takes it and by whatever way
};

/// Sees every gradient of a step, by the parameter's name, as the optimizer is about to use it.
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
///          k modules (docs/method.md, The step) and of one branch. End to end: the graphs, or with
///          `recompute` the inputs, of the micro-batches between their forward and their backward, and one
///          sum of gradients.
class Stage {
 public:
  struct Part {
    Module module;
    Sgd optimizer;                  ///< of the module's parameters, in their order
    std::optional<Module> older{};  ///< its parameters of one step ago, with StageOptions::two_versions
  };

  Stage(const StageSpec& spec, const StageOptions& options, const Initializer& init);
  Stage(Stage&&) = default;
  Stage& operator=(Stage&&) = default;

  int index() const { return spec_.index; }
  const StageSpec& spec() const { return spec_; }
  at::Device device() const;
  at::ScalarType dtype() const;  ///< of its parameters

  /// One training step, or one evaluation forward, by the packet's kind. The packet goes out with this
  /// stage's output, detached, and its reports; the network's last stage leaves no activation. Marks are not
  /// for a stage. Before a training step every shadow has to have been filled.
  /// @throws Error{nonfinite} as OnNonfinite has it, naming step, module, and head or tensor.
  Packet process(Packet packet);

  /// @name End-to-end training
  /// A step is a forward and a backward of each micro-batch, each in the order 0, 1, ..., and an update
  /// behind the last backward. With two_versions the next step's forwards may come before a step's last
  /// backwards.
  /// @throws Error{contract} for a backward without its forward.
  /// @{
  /// Keeps what backward needs. The micro-batch goes out as a packet from process() does; what the network's
  /// last stage says of it is the micro-batch's share of the batch. Its report counts what the stage has
  /// computed since the last one. @throws Error{nonfinite} for the loss.
  Packet forward(Packet micro_batch, int micro);
  /// Adds up the parameters' gradients for one at the stage's output; the network's last stage begins with
  /// its own loss. @return the gradient at the stage's input, dense; undefined for the network's first stage.
  at::Tensor backward(int micro, at::Tensor grad_BCHW);
  /// @return the seconds that it waited for the other replicas' gradients. @throws Error{nonfinite} for the
  /// gradients.
  double update();
  /// Micro-batches between their forward and their backward.
  std::size_t num_open() const { return open_.size(); }
  /// @}

  /// Turns from OnNonfinite::rollback to stop, or back.
  void set_on_nonfinite(OnNonfinite policy) { options_.on_nonfinite = policy; }
  /// Nothing that the stage holds is worth anything any more: see OnNonfinite::rollback.
  bool is_abandoned() const { return is_abandoned_; }

  /// True of the network's last stage.
  bool is_last() const { return spec_.modules.back().is_last; }

  /// Fills the shadow of the snapshot's part, ahead of what this thread computes next. @throws
  /// Error{contract} for a part that is not shadowed here, or another shape.
  void fill(const Snapshot& snapshot, HostCopies& copies);

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
  at::Tensor sleep(Packet& packet);
  /// For a part of a step's set time.
  void sleep(std::int64_t step, double part);
  at::ScalarType output_type() const;
  at::Tensor arriving(at::Tensor x_BCHW) const;
  at::Tensor output_of(const at::Tensor& x_BCHW) const;
  at::Tensor eval(Packet& packet) const;
  void train_branches(const Module& module, const at::Tensor& features, const Packet& packet,
                      class WindowSweep& sweep, class PendingLosses& losses) const;
  /// The norms of a module's gradients, where they were computed.
  struct GradientNorm {
    std::size_t part;
    at::Tensor each;   // by parameter
    at::Tensor whole;  // of them all as one vector, scalar
  };
  /// A module that is not updated yet.
  struct Due {
    std::size_t part;
    std::vector<at::Tensor> gradients{};
    std::unique_ptr<SumHandle> sum{};  // over the replicas; takes the place of the gradients
  };

  bool skips() const { return options_.on_nonfinite == OnNonfinite::skip; }
  void keep_statistics();
  at::Tensor pass_on(Packet& packet, const LossReport& said) const;
  void update(std::size_t part, std::vector<at::Tensor> grads, const Packet& packet);
  void finish_step(Packet& packet, const PendingLosses& losses);
  void finish_or_skip(Packet& packet, const PendingLosses& losses);
  void finish_or_abandon(Packet& packet, const PendingLosses& losses);
  void skip(Packet& packet, const std::string& found);
  void finish_updates(double lr);
  /// A step's end: what it said of its modules is the packet's.
  void hand_over(Packet& packet, std::vector<ModuleReport> modules);
  /// Has the module's gradients, summed where replicas share them, and their norm.
  void complete(Due& due);
  std::vector<at::Tensor> wait_for(SumHandle& sum);
  void measure(std::size_t part, const std::vector<at::Tensor>& grads);
  void apply(const GradientNorm& norm, std::vector<at::Tensor> grads, double lr);
  std::vector<at::Tensor> whole_norms() const;
  /// Behind them, where replicas share it, the sum of their losses; waits for it.
  std::vector<at::Tensor> norms_and(SumHandle* total);
  /// What of a step is not finite, by its losses, if there are any, and the norms as they were read.
  std::optional<std::string> nonfinite(const std::vector<ModuleReport>& losses,
                                       const std::vector<double>& norms) const;
  /// The same of all replicas, which find it alike: `numbers` are the norms and the sum of their losses.
  std::optional<std::string> nonfinite_anywhere(const std::vector<ModuleReport>& losses,
                                                const std::vector<double>& numbers) const;
  void require_finite(std::int64_t step, const std::vector<ModuleReport>& losses,
                      const std::vector<double>& norms) const;

  /// A micro-batch between its forward and its backward.
  struct Open {
    int micro;
    std::int64_t step;
    double lr;
    at::Tensor input_BCHW;
    std::vector<Pass> passes{};  ///< by module; none if they are to be computed again
    at::Tensor loss_grad{};      ///< at the output, of the network's last stage
    std::vector<at::Tensor> branch_grads{};
  };
  at::Tensor run(Open& open, Mode mode);
  void add_loss(Open& open, const at::Tensor& features, Packet& packet) const;
  const Module& module_for(const Part& part, bool is_ahead) const;
  /// A step has begun before the update of the one before.
  bool is_ahead() const { return steps_begun_ > steps_done_ + 1; }
  void add_gradients(std::size_t part, std::vector<at::Tensor> grads, bool complete);

  StageSpec spec_;
  StageOptions options_;
  std::vector<Part> parts_;
  std::vector<ShadowModule> lookahead_;
  std::map<std::string, Block> foreign_emas_;  // by the block's name
  EmaBlocks emas_;                             // own and foreign
  std::map<std::string, std::vector<at::Tensor>> shadows_;
  BeginSum begin_sum_;
  Seconds sum_limit_{0};
  std::deque<Due> due_;                      // in the order in which their gradients were complete
  std::vector<GradientNorm> norms_;          // of the step, in the same order
  std::vector<at::Tensor> statistics_;       // running ones of all modules, where steps may be skipped
  std::vector<at::Tensor> kept_statistics_;  // as the step found them
  std::uint64_t num_nonfinite_ = 0;          // steps that this stage was the first to skip
  std::int64_t num_skips_ = 0;               // steps in a row that it has left out, whoever was the first
  bool is_abandoned_ = false;
  double sum_wait_s_ = 0;
  SleepDebt sleep_debt_;
  GradientObserver gradient_observer_;
  ModuleObserver module_observer_;
  std::deque<Open> open_;                           // micro-batches, oldest first
  std::vector<std::vector<at::Tensor>> gradients_;  // by part: of the step's micro-batches so far
  double step_lr_ = 0;                              // of the step whose backwards are under way
  std::int64_t step_ = 0;                           // its number
  std::int64_t steps_begun_ = 0;
  std::int64_t steps_done_ = 0;
  double unreported_s_ = 0;  // computed since the last report
};

}  // namespace lamina
