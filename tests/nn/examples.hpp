#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lamina/nn/backbone.hpp"
#include "lamina/nn/module.hpp"
#include "lamina/nn/partition.hpp"

// Small networks and batches that the tests of this layer share.
namespace lamina {

inline Backbone backbone_of(const std::string& name, std::int64_t side = 32,
                            const std::string& norm = "batch") {
  return make_backbone({.backbone = name, .norm = norm}, {3, side, side}, 10);
}

inline std::vector<ModuleSpec> modules_of(const Backbone& backbone, std::int64_t modules,
                                          const std::string& head = "linear") {
  return make_modules(backbone, cut_into_modules(backbone, {.modules = modules}), {.head = head});
}

inline std::vector<ModuleSpec> modules_by(const MethodConfig& method, const Backbone& backbone,
                                          std::int64_t modules) {
  return make_modules(backbone, cut_into_modules(backbone, {.modules = modules}), method);
}

inline MethodConfig mlaan_on(const std::string& framework, const MlaanConfig& mlaan = {}) {
  return {.framework = framework, .use_mlaan = true, .mlaan = mlaan};
}

inline Initializer doubles(at::MemoryFormat format = at::MemoryFormat::ChannelsLast) {
  return Initializer(7, at::kDouble, format);
}

inline at::Tensor noise(at::IntArrayRef sizes, std::uint64_t seed, at::ScalarType dtype = at::kDouble) {
  return at::randn(sizes, at::detail::createCPUGenerator(seed), at::TensorOptions().dtype(dtype));
}

inline at::Tensor batch_of(std::int64_t samples, const FeatureShape& shape, std::uint64_t seed = 1) {
  return noise({samples, shape.channels, shape.height, shape.width}, seed);
}

inline at::Tensor labels_of(std::int64_t samples, std::int64_t num_classes = 10) {
  return at::remainder(at::arange(samples, at::kLong) * 3 + 1, num_classes);
}

// Moves parameters off their first values, where batch norms are the identity.
inline void stir(const std::vector<at::Tensor>& parameters, std::uint64_t seed = 5) {
  const at::NoGradGuard no_grad;
  for (at::Tensor parameter : parameters) parameter.add_(noise(parameter.sizes(), seed++), 0.1);
}

// |a - b| / |b| in the Euclidean norm.
inline double distance(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm().clamp_min(1e-300)).item<double>();
}

// Gradients of tensors that lie before a batch norm's mean may be zero but for rounding, so the lists are
// compared whole.
inline double distance(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  const auto flat = [](const std::vector<at::Tensor>& tensors) {
    std::vector<at::Tensor> rows;
    for (const at::Tensor& tensor : tensors) rows.push_back(tensor.detach().reshape({-1}));
    return at::cat(rows);
  };
  return distance(flat(a), flat(b));
}

inline bool same(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const at::Tensor& x, const at::Tensor& y) { return at::equal(x, y); });
}

inline std::map<std::string, at::Tensor> by_name(const std::vector<NamedTensor>& tensors) {
  std::map<std::string, at::Tensor> table;
  for (const NamedTensor& entry : tensors) table.emplace(entry.name, entry.tensor);
  return table;
}

inline std::int64_t num_values(const std::vector<at::Tensor>& tensors) {
  std::int64_t sum = 0;
  for (const at::Tensor& tensor : tensors) sum += tensor.numel();
  return sum;
}

inline std::vector<Module> build(const std::vector<ModuleSpec>& specs, const Initializer& init) {
  std::vector<Module> modules;
  for (const ModuleSpec& spec : specs) modules.emplace_back(spec, init);
  return modules;
}

// The EMAs that the modules keep, for their LAMs.
inline EmaBlocks emas_of(const std::vector<Module>& modules) {
  EmaBlocks emas;
  for (const Module& module : modules)
    for (const Module::Ema& ema : module.emas()) emas.emplace(ema.block, &ema.copy);
  return emas;
}

inline std::vector<at::Tensor> values_of(const std::vector<NamedTensor>& tensors) {
  std::vector<at::Tensor> all;
  for (const NamedTensor& entry : tensors) all.push_back(entry.tensor.detach());
  return all;
}

// Gradients of one module that has one branch: of its blocks, then of the branch's head.
struct ModuleGradients {
  std::vector<at::Tensor> blocks;
  std::vector<at::Tensor> head;
};

// One step of plain local learning without the update: modules one after another, each with its own loss.
inline std::vector<ModuleGradients> local_gradients(const std::vector<Module>& modules,
                                                    const at::Tensor& x_BCHW, const at::Tensor& y_B) {
  std::vector<ModuleGradients> all;
  at::Tensor features = x_BCHW;
  for (const Module& module : modules) {
    const Pass pass = module.forward(features, Mode::train);
    features = pass.features();
    const BranchResult result = module.branches().at(0).train(features, {.y_B = y_B}, {});
    all.push_back({module.pull_to_parameters(pass, result.own_grad), result.parameter_grads});
  }
  return all;
}

}  // namespace lamina
