#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>

#include "lamina/core/clock.hpp"
#include "lamina/core/error.hpp"
#include "lamina/core/log.hpp"
#include "lamina/pipeline/stage.hpp"
#include "pending_losses.hpp"

// The end of a stage's step: its gradients, once they are there, and what becomes of a step whose numbers are
// not finite.
namespace lamina {
namespace {

bool is_finite(double number) {
  return std::isfinite(number);
}

// A NaN's sign says nothing.
std::string text(double number) {
  return std::isnan(number) ? "nan" : fmt::format("{}", number);
}

// A module's heads, as messages name them.
std::string heads_of(const Module& module) {
  std::vector<std::string> heads;
  for (const Branch& branch : module.branches())
    heads.push_back(fmt::format("{} ({})", branch.spec().head.name, branch.spec().name));
  return heads.empty() ? "no head of its own" : fmt::format("head {}", fmt::join(heads, " and "));
}

std::string name_of_trained(const Module& module, std::size_t index) {
  for (const NamedTensor& entry : module.tensors())
    if (entry.trained && index-- == 0) return entry.name;
  return "all parameters together";
}

}  // namespace

void Stage::share_gradients(BeginSum begin, Seconds limit) {
  begin_sum_ = std::move(begin);
  sum_limit_ = limit;
}

// Behind this a step that is skipped has nothing to take back.
void Stage::keep_statistics() {
  if (statistics_.empty()) return;
  const at::NoGradGuard no_grad;
  at::_foreach_copy_(kept_statistics_, statistics_);
}

void Stage::update(std::size_t index, std::vector<at::Tensor> grads, const Packet& packet) {
  if (begin_sum_) {
    const at::NoGradGuard no_grad;
    at::_foreach_mul_(grads, packet.share());
    due_.push_back({.part = index, .sum = begin_sum_(grads)});
  } else if (skips()) {
    due_.push_back({.part = index, .gradients = std::move(grads)});
  } else {
    measure(index, grads);
    apply(norms_.back(), std::move(grads), packet.lr);
  }
}

void Stage::finish_step(Packet& packet, const PendingLosses& losses) {
  if (skips()) return finish_or_skip(packet, losses);
  if (options_.on_nonfinite == OnNonfinite::rollback) return finish_or_abandon(packet, losses);
  finish_updates(packet.lr);
  PendingLosses::Read read = losses.read(whole_norms());
  require_finite(packet.step, read.modules, read.further);
  hand_over(packet, std::move(read.modules));
}

void Stage::hand_over(Packet& packet, std::vector<ModuleReport> modules) {
  norms_.clear();
  std::move(modules.begin(), modules.end(), std::back_inserter(packet.modules));
}

// Replicas decide alike, by the sums that they share: of the gradients and, behind them, of the losses.
void Stage::finish_or_skip(Packet& packet, const PendingLosses& losses) {
  std::unique_ptr<SumHandle> total = begin_sum_ ? begin_sum_({losses.total()}) : nullptr;
  for (Due& due : due_) complete(due);
  PendingLosses::Read read = losses.read(norms_and(total.get()));
  if (const std::optional<std::string> found = nonfinite_anywhere(read.modules, read.further)) {
    skip(packet, *found);
  } else {
    for (std::size_t i = 0; i < due_.size(); ++i) apply(norms_[i], std::move(due_[i].gradients), packet.lr);
  }
  due_.clear();
  hand_over(packet, std::move(read.modules));
}

void Stage::skip(Packet& packet, const std::string& found) {
  if (options_.max_skips > 0 && num_skips_ >= options_.max_skips)
    throw Error(
        ErrorKind::nonfinite,
        fmt::format("step {}, stage {}: {}; train.max_skips: {} steps in a row before it were skipped",
                    packet.step, index(), found, num_skips_));
  const at::NoGradGuard no_grad;
  if (!statistics_.empty()) at::_foreach_copy_(statistics_, kept_statistics_);
  packet.skipped = true;
  // Where every step is like this, a line each would fill a disk.
  if (std::has_single_bit(++num_nonfinite_))
    log_warning(fmt::format(
        "step {}, stage {}: {}; this stage and those behind it skip the step, as {} of this stage's so far",
        packet.step, index(), found, num_nonfinite_));
}

// As early as ever modules are updated: what is spoilt comes back from the checkpoint.
void Stage::finish_or_abandon(Packet& packet, const PendingLosses& losses) {
  std::unique_ptr<SumHandle> total = begin_sum_ ? begin_sum_({losses.total()}) : nullptr;
  finish_updates(packet.lr);
  PendingLosses::Read read = losses.read(norms_and(total.get()));
  if (const std::optional<std::string> found = nonfinite_anywhere(read.modules, read.further)) {
    is_abandoned_ = packet.abandoned = packet.skipped = true;
    log_warning(fmt::format("step {}, stage {}: {}; the run goes back to its last checkpoint", packet.step,
                            index(), *found));
  }
  hand_over(packet, std::move(read.modules));
}

void Stage::finish_updates(double lr) {
  for (; !due_.empty(); due_.pop_front()) {
    complete(due_.front());
    apply(norms_.back(), std::move(due_.front().gradients), lr);
  }
}

void Stage::complete(Due& due) {
  if (due.sum) due.gradients = wait_for(*due.sum);
  measure(due.part, due.gradients);
}

std::vector<at::Tensor> Stage::wait_for(SumHandle& sum) {
  const Stopwatch watch;
  std::vector<at::Tensor> sums = sum.wait(sum_limit_);
  sum_wait_s_ += watch.elapsed_s();
  return sums;
}

// One pass over the gradients: any that is not finite shows in the norm, which clipping needs as well.
void Stage::measure(std::size_t part, const std::vector<at::Tensor>& grads) {
  const at::NoGradGuard no_grad;
  const at::Tensor each = at::stack(at::_foreach_norm(grads, 2));
  norms_.push_back({.part = part, .each = each, .whole = at::linalg_vector_norm(each, 2)});
}

void Stage::apply(const GradientNorm& norm, std::vector<at::Tensor> grads, double lr) {
  Part& part = parts_[norm.part];
  if (options_.clip_grad_norm > 0) {
    const at::NoGradGuard no_grad;
    const at::Tensor factor = (norm.whole + 1e-6).reciprocal() * options_.clip_grad_norm;
    grads = at::_foreach_mul(grads, factor.clamp_max(1.0));
  }
  if (gradient_observer_) {
    std::size_t i = 0;
    for (const NamedTensor& entry : part.module.tensors())
      if (entry.trained) gradient_observer_(entry.name, grads[i++]);
  }
  part.module.update_emas(options_.ema_momentum);
  if (part.older) {
    // No micro-batch is open any more that used the older ones: the newer go on in their place.
    const at::NoGradGuard no_grad;
    const std::vector<at::Tensor> parameters = part.older->parameters();
    at::_foreach_copy_(parameters, part.module.parameters());
    part.optimizer.follow(parameters);
    std::swap(part.module, *part.older);
  }
  part.optimizer.step(grads, lr);
}

std::vector<at::Tensor> Stage::whole_norms() const {
  std::vector<at::Tensor> norms;
  for (const GradientNorm& norm : norms_) norms.push_back(norm.whole);
  return norms;
}

// To be read at once: on a device every reading is a wait.
std::vector<at::Tensor> Stage::norms_and(SumHandle* total) {
  std::vector<at::Tensor> numbers = whole_norms();
  if (total) numbers.push_back(wait_for(*total).front());
  return numbers;
}

std::optional<std::string> Stage::nonfinite(const std::vector<ModuleReport>& losses,
                                            const std::vector<double>& norms) const {
  for (std::size_t i = 0; i < losses.size(); ++i)
    for (const LossReport& report : losses[i].losses) {
      if (is_finite(report.loss)) continue;
      const Module& module = parts_[i].module;
      const auto branch =
          std::find_if(module.branches().begin(), module.branches().end(),
                       [&](const Branch& candidate) { return candidate.spec().name == report.branch; });
      return fmt::format("expected finite losses, found {} from head {} ({}) of module {}", text(report.loss),
                         branch->spec().head.name, report.branch, module.spec().index);
    }
  for (std::size_t i = 0; i < norms_.size(); ++i) {
    if (is_finite(norms[i])) continue;
    const Module& module = parts_[norms_[i].part].module;
    const at::Tensor each = norms_[i].each.cpu().to(at::kDouble);
    const double* first = each.const_data_ptr<double>();
    const double* worst = std::find_if_not(first, first + each.numel(), is_finite);
    const auto index = static_cast<std::size_t>(worst - first);
    return fmt::format("expected finite gradients, found one of norm {} for {} of module {} with {}",
                       text(index < static_cast<std::size_t>(each.numel()) ? *worst : norms[i]),
                       name_of_trained(module, index), module.spec().index, heads_of(module));
  }
  return std::nullopt;
}

std::optional<std::string> Stage::nonfinite_anywhere(const std::vector<ModuleReport>& losses,
                                                     const std::vector<double>& numbers) const {
  std::optional<std::string> found = nonfinite(losses, numbers);
  if (!found && !std::all_of(numbers.begin(), numbers.end(), is_finite))
    found = "expected finite losses, found one of another replica that is not";
  return found;
}

void Stage::require_finite(std::int64_t step, const std::vector<ModuleReport>& losses,
                           const std::vector<double>& norms) const {
  if (const std::optional<std::string> found = nonfinite(losses, norms))
    throw Error(ErrorKind::nonfinite,
                fmt::format("step {}, stage {}: {}; a lower train.lr or train.clip_grad_norm may help", step,
                            index(), *found));
}

}  // namespace lamina
