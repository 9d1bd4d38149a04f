#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>

#include <algorithm>

#include "lamina/nn/sgd.hpp"
#include "nn/examples.hpp"

// What is added to a module's own work: its head, its LAM, its optimizer. ResNet-32, every block a module,
// one thread.

namespace lamina {
namespace {

constexpr std::int64_t num_samples = 64;
constexpr std::int64_t num_modules = 15;

std::vector<Module> network(const MethodConfig& method) {
  at::set_num_threads(1);
  return build(modules_by(method, backbone_of("resnet32"), num_modules), Initializer(7));
}

std::vector<at::Tensor> all_parameters(const std::vector<Module>& modules) {
  std::vector<at::Tensor> all;
  for (const Module& module : modules)
    for (const at::Tensor& parameter : module.parameters()) all.push_back(parameter);
  return all;
}

void optimizer_step(benchmark::State& state) {
  const std::vector<Module> modules = network({.framework = "greedy"});
  const std::vector<at::Tensor> parameters = all_parameters(modules);
  std::vector<at::Tensor> grads;
  for (const at::Tensor& parameter : parameters) grads.push_back(at::ones_like(parameter.detach()));
  Sgd optimizer({}, parameters);
  for (auto _ : state) optimizer.step(grads, 1e-3);
  state.SetItemsProcessed(state.iterations() * num_values(parameters));
}
BENCHMARK(optimizer_step);

// Forward and backward of what looks at a module's output: of its first branch with leaps or without.
void branch_step(benchmark::State& state, const MethodConfig& method, bool with_leaps) {
  const std::vector<Module> modules = network(method);
  const Module& module = modules[static_cast<std::size_t>(state.range(0))];
  const auto found =
      std::find_if(module.branches().begin(), module.branches().end(),
                   [&](const Branch& branch) { return branch.spec().leaps.empty() != with_leaps; });
  if (found == module.branches().end()) return state.SkipWithError("no such branch");
  const at::Tensor features =
      batch_of(num_samples, module.spec().out).to(at::kFloat).contiguous(at::MemoryFormat::ChannelsLast);
  const Targets targets{.y_B = labels_of(num_samples)};
  const EmaBlocks emas = emas_of(modules);
  for (auto _ : state) benchmark::DoNotOptimize(found->train(features, targets, emas));
  state.SetItemsProcessed(state.iterations() * num_samples);
}

// By module: one of each width.
void first_of_each_width(benchmark::internal::Benchmark* one) {
  one->ArgName("module")->Arg(0)->Arg(5)->Arg(10)->Unit(benchmark::kMillisecond);
}
BENCHMARK_CAPTURE(branch_step, linear_head, MethodConfig{.framework = "greedy"}, false)
    ->Apply(first_of_each_width);
BENCHMARK_CAPTURE(branch_step, mlp_sr_head, MethodConfig{.framework = "dgl", .head = "mlp_sr"}, false)
    ->Apply(first_of_each_width);
BENCHMARK_CAPTURE(branch_step, lam, mlaan_on("greedy"), true)->Apply(first_of_each_width);

}  // namespace
}  // namespace lamina
