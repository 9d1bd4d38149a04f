#include "lamina/pipeline/stage.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "lamina/core/clock.hpp"
#include "lamina/core/error.hpp"
#include "pending_losses.hpp"
#include "window_sweep.hpp"

namespace lamina {
namespace {

// The same first values, in tensors of its own but for the running statistics, of which there is one set.
Module older_version(const Module& module, const Initializer& init) {
  Module older(module.spec(), init);
  const std::vector<NamedTensor> theirs = module.tensors(), own = older.tensors();
  for (std::size_t i = 0; i < own.size(); ++i)
    if (!own[i].trained) own[i].tensor.set_(theirs[i].tensor);
  return older;
}

void append_statistics(const Module& module, std::vector<at::Tensor>& all) {
  const auto take = [&all](const auto& owner) {
    for (const NamedTensor& entry : owner.tensors())
      if (!entry.trained) all.push_back(entry.tensor);
  };
  std::for_each(module.blocks().begin(), module.blocks().end(), take);
  std::for_each(module.branches().begin(), module.branches().end(), take);
}

}  // namespace

Stage::Stage(const StageSpec& spec, const StageOptions& options, const Initializer& init)
    : spec_(spec), options_(options) {
  parts_.reserve(spec.modules.size());
  for (const ModuleSpec& module_spec : spec.modules) {
    Module module(module_spec, init);
    Sgd optimizer(options.sgd, module.parameters());
    parts_.push_back({std::move(module), std::move(optimizer)});
    if (options.two_versions) parts_.back().older = older_version(parts_.back().module, init);
  }
  gradients_.resize(parts_.size());
  if (skips())
    for (const Part& part : parts_) append_statistics(part.module, statistics_);
  for (const at::Tensor& tensor : statistics_) kept_statistics_.push_back(tensor.clone());
  for (const Part& part : parts_)
    for (const Module::Ema& ema : part.module.emas()) emas_.emplace(ema.block, &ema.copy);
  for (const BlockSpec& block : spec.foreign_emas) {
    const auto [entry, made] = foreign_emas_.try_emplace(
        block.name, block, TensorSet{"ema." + prefix_of(block), prefix_of(block), Role::shadow},
        init.blank());
    emas_.emplace(block.name, &entry->second);
    shadows_.emplace(ema_part(block.name), values(entry->second.tensors()));
  }
  lookahead_.reserve(spec.lookahead.size());
  for (const ModuleSpec& module_spec : spec.lookahead) {
    lookahead_.emplace_back(module_spec, init);
    shadows_.emplace(window_part_name(module_spec.index), lookahead_.back().tensors());
  }
}

at::Device Stage::device() const {
  return parts_.front().module.block_parameters().front().device();
}

at::ScalarType Stage::dtype() const {
  return parts_.front().module.block_parameters().front().scalar_type();
}

// What travels is rounded here and not on its lane: the cut into stages is part of what is computed, and
// whether two stages share a worker is not.
at::ScalarType Stage::output_type() const {
  return options_.rounds_output ? at::kBFloat16 : dtype();
}

// Under autocast layers take any type.
at::Tensor Stage::arriving(at::Tensor x_BCHW) const {
  return options_.precision == Precision::bf16 ? std::move(x_BCHW) : x_BCHW.to(dtype());
}

Packet Stage::process(Packet packet) {
  if (packet.is_mark()) throw Error(ErrorKind::contract, "a stage computes on batches, found a mark");
  const Stopwatch watch;
  const PrecisionScope scope(options_.precision, device().type());
  // Behind the classifier nobody reads the activation: only how many samples there were.
  const at::Tensor no_features =
      at::empty({packet.x_BCHW.size(0), 0, 1, 1}, packet.x_BCHW.options().dtype(output_type()));
  const std::size_t earlier = packet.modules.size();
  sum_wait_s_ = 0;
  packet.abandoned = packet.abandoned || is_abandoned_;
  packet.skipped = packet.skipped || (packet.abandoned && packet.kind == PacketKind::train);
  if (packet.kind == PacketKind::eval)
    packet.x_BCHW = eval(packet);
  else if (packet.skipped)
    packet.x_BCHW = pass_on(packet, {.branch = "", .loss = std::nan(""), .correct = -1});
  else
    packet.x_BCHW = options_.sleep_s > 0 ? sleep(packet) : train(packet);
  if (packet.kind == PacketKind::train) num_skips_ = packet.skipped ? num_skips_ + 1 : 0;
  if (!packet.x_BCHW.defined()) packet.x_BCHW = no_features;
  for (std::size_t i = earlier; i < packet.modules.size(); ++i)
    for (LossReport& report : packet.modules[i].losses) report.loss *= packet.share();
  packet.stages.push_back({.compute_s = watch.elapsed_s() - sum_wait_s_,
                           .replica_wait_s = sum_wait_s_,
                           .skipped = packet.skipped});
  return packet;
}

// docs/method.md, The step: one forward a module; every window's gradient pulled back through the open
// modules; a module is updated as soon as no window needs it any more.
at::Tensor Stage::train(Packet& packet) {
  WindowSweep sweep(options_.window, [&](WindowSweep::Closed closed) {
    const Module& module = parts_[closed.part].module;
    if (!closed.grad_BCHW.defined())
      throw Error(ErrorKind::contract, fmt::format("no loss reaches module {}", module.spec().index));
    std::vector<at::Tensor> grads = module.pull_to_parameters(closed.pass, closed.grad_BCHW);
    grads.insert(grads.end(), closed.branch_grads.begin(), closed.branch_grads.end());
    update(closed.part, std::move(grads), packet);
  });
  PendingLosses losses;
  keep_statistics();
  at::Tensor x_BCHW = arriving(std::move(packet.x_BCHW));
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const Module& module = parts_[i].module;
    if (module_observer_) module_observer_(module.spec().index, /*shadow=*/false);
    Pass pass = module.forward(x_BCHW, Mode::train, /*to_input=*/i > 0 && options_.window > 1);
    x_BCHW = pass.features();
    sweep.open(i, std::move(pass));
    train_branches(module, x_BCHW, packet, sweep, losses);
    sweep.next();
  }
  const at::Tensor output = parts_.back().module.spec().is_last ? at::Tensor() : x_BCHW.to(output_type());
  if (!lookahead_.empty()) x_BCHW = arriving(output);  // a shadow sees what its owner will see
  for (const ShadowModule& module : lookahead_) {
    if (module_observer_) module_observer_(module.spec().index, /*shadow=*/true);
    Pass pass = module.forward(x_BCHW);
    x_BCHW = pass.features();
    sweep.open_foreign(std::move(pass));
    const at::Tensor grad = module.window_grad(x_BCHW, packet.targets(), emas_);
    if (grad.defined()) sweep.pull(grad);
    sweep.next();
  }
  sweep.finish();
  finish_step(packet, losses);
  return output;
}

at::Tensor Stage::sleep(Packet& packet) {
  sleep(packet.step, 1);
  return pass_on(packet, {});
}

void Stage::sleep(std::int64_t step, double part) {
  const JitterKey key{.stream = static_cast<std::uint64_t>(index()),
                      .number = static_cast<std::uint64_t>(step)};
  const double set_s = options_.sleep_s * jitter(options_.sleep_deviation, key) * part;
  const Stopwatch watch;
  std::this_thread::sleep_for(Seconds(sleep_debt_.due_s(set_s)));
  sleep_debt_.slept(set_s, watch.elapsed_s());
}

// The packet goes on as a step's would: with activations of their size, and the same said of every branch.
at::Tensor Stage::pass_on(Packet& packet, const LossReport& said) const {
  for (const Part& part : parts_) {
    ModuleReport report;
    for (const Branch& branch : part.module.branches())
      report.losses.push_back({branch.spec().name, said.loss, said.correct});
    packet.modules.push_back(std::move(report));
  }
  if (parts_.back().module.spec().is_last) return {};
  return output_of(packet.x_BCHW).zero_();
}

// Of as many samples as the input, with any values.
at::Tensor Stage::output_of(const at::Tensor& x_BCHW) const {
  const FeatureShape& out = parts_.back().module.spec().out;
  return at::empty({x_BCHW.size(0), out.channels, out.height, out.width},
                   x_BCHW.options().dtype(output_type()), x_BCHW.suggest_memory_format());
}

void Stage::train_branches(const Module& module, const at::Tensor& features, const Packet& packet,
                           WindowSweep& sweep, PendingLosses& losses) const {
  losses.next_module();
  for (const Branch& branch : module.branches()) {
    const BranchResult result = branch.train(features, packet.targets(), emas_);
    losses.add(branch.spec().name, result);
    sweep.add(result);
  }
}

at::Tensor Stage::eval(Packet& packet) const {
  const Module& last = parts_.back().module;
  at::Tensor x_BCHW = arriving(std::move(packet.x_BCHW));
  // A short batch may leave a replica nothing.
  if (x_BCHW.size(0) == 0) {
    if (last.spec().is_last) packet.modules.push_back({{{"classifier", 0, 0}}});
    return last.spec().is_last ? at::Tensor() : output_of(x_BCHW);
  }
  for (const Part& part : parts_) x_BCHW = part.module.forward(x_BCHW, Mode::eval).output;
  if (!last.spec().is_last) return x_BCHW.to(output_type());
  PendingLosses losses;
  losses.next_module();
  losses.add("classifier", last.classifier().eval(x_BCHW, packet.targets()));
  packet.modules.push_back(losses.read().modules.front());
  return {};
}

void Stage::fill(const Snapshot& snapshot, HostCopies& copies) {
  const auto found = shadows_.find(snapshot.part);
  if (found == shadows_.end() || found->second.size() != snapshot.tensors.size())
    throw Error(ErrorKind::contract,
                fmt::format("stage {}: expected a snapshot of one of its shadows, found {} with {} tensors",
                            index(), snapshot.part, snapshot.tensors.size()));
  copies.upload(snapshot.tensors, found->second);
}

std::vector<at::Tensor> Stage::part_tensors(const std::string& part) const {
  for (const Part& own : parts_) {
    if (part == window_part_name(own.module.spec().index)) return window_part(own.module);
    for (const Module::Ema& ema : own.module.emas())
      if (part == ema_part(ema.block)) return values(ema.copy.tensors());
  }
  throw Error(ErrorKind::contract,
              fmt::format("stage {}: expected a part of its own, found {}", index(), part));
}

Snapshot Stage::copy_part(const std::string& part, std::int64_t version) const {
  Snapshot snapshot{.part = part, .version = version, .tensors = part_tensors(part)};
  for (at::Tensor& tensor : snapshot.tensors)
    tensor = tensor.detach().to(at::kCPU, /*non_blocking=*/false, /*copy=*/true);
  return snapshot;
}

}  // namespace lamina
