#include "lamina/nn/module.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <map>

#include "lamina/core/error.hpp"
#include "strip_norm.hpp"

namespace lamina {
namespace {

// A framework is the head it trains its modules with; e2e has one module and needs none.
const std::map<std::string, std::string>& framework_heads() {
  static const std::map<std::string, std::string> table = {
      {"dgl", "dgl"}, {"e2e", "linear"}, {"greedy", "linear"}};
  return table;
}

std::vector<Block> make_blocks(const ModuleSpec& spec, const Initializer& init) {
  std::vector<Block> blocks;
  blocks.reserve(spec.blocks.size());
  for (const BlockSpec& block : spec.blocks) blocks.emplace_back(block, init);
  return blocks;
}

void append(std::vector<NamedTensor>& all, const std::vector<NamedTensor>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

}  // namespace

void MethodConfig::visit(FieldVisitor& v) {
  std::vector<std::string> frameworks;
  for (const auto& [name, own_head] : framework_heads()) frameworks.push_back(name);
  std::vector<std::string> heads = head_names();
  heads.insert(heads.begin(), "auto");
  v.field("framework", &framework, "how modules are trained; e2e: one module, ordinary training",
          one_of(frameworks));
  v.field("head", &head, "auxiliary head of every module but the last; auto: the framework's own",
          one_of(heads));
}

std::int64_t ModuleSpec::parameters() const {
  std::int64_t sum = cost(head, out).parameters;
  for (const BlockSpec& block : blocks) sum += block.parameters;
  return sum;
}

std::int64_t ModuleSpec::multiply_adds() const {
  std::int64_t sum = 0;
  for (const BlockSpec& block : blocks) sum += block.multiply_adds;
  return sum;
}

std::int64_t ModuleSpec::head_multiply_adds() const {
  return cost(head, out).multiply_adds;
}

std::vector<ModuleSpec> make_modules(const Backbone& backbone, const std::vector<std::int64_t>& ends,
                                     const MethodConfig& method) {
  const std::string head = method.head == "auto" ? framework_heads().at(method.framework) : method.head;
  const auto num_modules = static_cast<std::int64_t>(ends.size()) + 1;
  std::vector<ModuleSpec> modules;
  std::int64_t first = 0;
  for (std::int64_t i = 0; i < num_modules; ++i) {
    const bool last = i == num_modules - 1;
    const std::int64_t end = last ? static_cast<std::int64_t>(backbone.blocks.size()) - 1 : ends[i];
    ModuleSpec module{.index = i, .first_block = first, .last_block = end};
    module.blocks.assign(backbone.blocks.begin() + first, backbone.blocks.begin() + end + 1);
    module.in = module.blocks.front().in;
    module.out = module.blocks.back().out;
    module.head_name = last ? "classifier" : head;
    module.head_prefix = last ? "" : fmt::format("head.{}.independent.", i);
    module.head = last ? backbone.classifier : head_layers(head, module.out, backbone.num_classes);
    if (!backbone.normalised) module.head = strip_norm(module.head);
    modules.push_back(std::move(module));
    first = end + 1;
  }
  return modules;
}

Module::Module(const ModuleSpec& spec, const Initializer& init)
    : spec_(spec),
      blocks_(make_blocks(spec, init)),
      head_(spec.head, spec.out, spec.head_prefix, init),
      head_parameters_(trained(head_.tensors())) {
  std::vector<NamedTensor> of_blocks;
  for (const Block& block : blocks_) append(of_blocks, block.tensors());
  block_parameters_ = trained(of_blocks);
}

Pass Module::forward(const at::Tensor& x_BCHW, Mode mode) const {
  at::AutoGradMode graph(mode == Mode::train);
  Pass pass{.input = x_BCHW.detach()};
  pass.output = pass.input;
  for (const Block& block : blocks_) pass.output = block.forward(pass.output, mode);
  return pass;
}

std::vector<at::Tensor> Module::pull_to_parameters(const Pass& pass, const at::Tensor& grad_BCHW) const {
  return torch::autograd::grad({pass.output}, block_parameters_, {grad_BCHW});
}

std::vector<NamedTensor> Module::tensors() const {
  std::vector<NamedTensor> all;
  for (const Block& block : blocks_) append(all, block.tensors());
  append(all, head_.tensors());
  return all;
}

}  // namespace lamina
