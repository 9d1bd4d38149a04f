#include "lamina/nn/module.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>

#include "gradients.hpp"
#include "lamina/core/error.hpp"

namespace lamina {
namespace {

std::vector<Block> make_blocks(const ModuleSpec& spec, const Initializer& init) {
  std::vector<Block> blocks;
  blocks.reserve(spec.blocks.size());
  for (const BlockSpec& block : spec.blocks) blocks.emplace_back(block, init);
  return blocks;
}

std::vector<Branch> make_branches(const ModuleSpec& spec, const Initializer& init) {
  std::vector<Branch> branches;
  branches.reserve(spec.branches.size());
  for (const BranchSpec& branch : spec.branches) branches.emplace_back(branch, Role::trained, init);
  return branches;
}

std::vector<Module::Ema> make_emas(const ModuleSpec& spec, const std::vector<Block>& blocks,
                                   const Initializer& init) {
  std::vector<Module::Ema> emas;
  for (const EmaSpec& ema : spec.emas) {
    const BlockSpec& block = spec.blocks[ema.block];
    const std::string prefix = prefix_of(block);
    std::vector<at::Tensor> live;
    for (const at::Tensor& parameter : trained(blocks[ema.block].tensors()))
      live.push_back(parameter.detach());
    emas.push_back({block.name, Block(block, TensorSet{"ema." + prefix, prefix, Role::shadow}, init),
                    std::move(live), ema.updated});
  }
  return emas;
}

}  // namespace

std::int64_t ModuleSpec::parameters() const {
  std::int64_t sum = 0;
  for (const BlockSpec& block : blocks) sum += block.parameters;
  for (const BranchSpec& branch : branches) sum += branch.parameters();
  return sum;
}

std::int64_t ModuleSpec::multiply_adds() const {
  std::int64_t sum = 0;
  for (const BlockSpec& block : blocks) sum += block.multiply_adds;
  return sum;
}

std::int64_t ModuleSpec::branch_multiply_adds() const {
  std::int64_t sum = 0;
  for (const BranchSpec& branch : branches) sum += branch.multiply_adds();
  return sum;
}

bool ModuleSpec::needs_image() const {
  return std::any_of(branches.begin(), branches.end(),
                     [](const BranchSpec& branch) { return branch.head.needs_image(); });
}

at::Tensor pull_to_input(const Pass& pass, const at::Tensor& grad_BCHW) {
  return gradients(pass.output, {pass.input}, grad_BCHW, /*retain_graph=*/true).front();
}

Module::Module(const ModuleSpec& spec, const Initializer& init)
    : spec_(spec),
      blocks_(make_blocks(spec, init)),
      branches_(make_branches(spec, init)),
      emas_(make_emas(spec, blocks_, init)) {
  std::vector<NamedTensor> of_blocks;
  for (const Block& block : blocks_) append(of_blocks, block.tensors());
  block_parameters_ = trained(of_blocks);
}

Pass Module::forward(const at::Tensor& x_BCHW, Mode mode, bool to_input) const {
  const at::AutoGradMode graph(mode != Mode::eval);
  Pass pass{.input = x_BCHW.detach()};
  if (to_input) pass.input.requires_grad_(true);
  pass.output = pass.input;
  for (const Block& block : blocks_) pass.output = block.forward(pass.output, mode);
  return pass;
}

std::vector<at::Tensor> Module::pull_to_parameters(const Pass& pass, const at::Tensor& grad_BCHW) const {
  return gradients(pass.output, block_parameters_, grad_BCHW);
}

std::vector<at::Tensor> Module::pull(const Pass& pass, const at::Tensor& grad_BCHW) const {
  std::vector<at::Tensor> inputs = block_parameters_;
  if (pass.input.requires_grad()) inputs.push_back(pass.input);
  return gradients(pass.output, inputs, grad_BCHW);
}

const Branch& Module::classifier() const {
  if (spec_.is_last) return branches_.front();
  throw Error(ErrorKind::contract,
              fmt::format("module {} is not the last and has no classifier", spec_.index));
}

void Module::update_emas(double momentum) const {
  const at::NoGradGuard no_grad;
  for (const Ema& ema : emas_) {
    if (!ema.updated) continue;
    const std::vector<at::Tensor> averages = values(ema.copy.tensors());
    at::_foreach_mul_(averages, momentum);
    at::_foreach_add_(averages, ema.live, 1 - momentum);
  }
}

std::vector<NamedTensor> Module::tensors() const {
  std::vector<NamedTensor> all;
  for (const Block& block : blocks_) append(all, block.tensors());
  for (const Branch& branch : branches_) append(all, branch.tensors());
  for (const Ema& ema : emas_) append(all, ema.copy.tensors());
  return all;
}

ShadowModule::ShadowModule(const ModuleSpec& spec, const Initializer& init) : spec_(spec) {
  const Initializer blank = init.blank();
  for (const BlockSpec& block : spec.blocks)
    blocks_.emplace_back(block, TensorSet{prefix_of(block), prefix_of(block), Role::shadow}, blank);
  for (const BranchSpec& branch : spec.branches)
    if (branch.window_weight > 0) branches_.emplace_back(branch, Role::shadow, blank);
}

Pass ShadowModule::forward(const at::Tensor& x_BCHW) const {
  Pass pass{.input = x_BCHW.detach().requires_grad_(true)};
  pass.output = pass.input;
  for (const Block& block : blocks_) pass.output = block.forward(pass.output, Mode::train);
  return pass;
}

at::Tensor ShadowModule::window_grad(const at::Tensor& features, const Targets& targets,
                                     const EmaBlocks& emas) const {
  return branches_.empty() ? at::Tensor() : branches_.front().train(features, targets, emas).window_grad;
}

std::vector<at::Tensor> ShadowModule::tensors() const {
  std::vector<NamedTensor> all;
  for (const Block& block : blocks_) append(all, block.tensors());
  for (const Branch& branch : branches_) append(all, branch.tensors());
  return values(all);
}

std::vector<at::Tensor> window_part(const Module& module) {
  std::vector<at::Tensor> part = module.block_parameters();
  for (const Branch& branch : module.branches())
    if (branch.spec().window_weight > 0)
      part.insert(part.end(), branch.parameters().begin(), branch.parameters().end());
  return part;
}

}  // namespace lamina
