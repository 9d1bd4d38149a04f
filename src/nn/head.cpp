#include "lamina/nn/head.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "lamina/nn/precision.hpp"
#include "loss.hpp"

namespace lamina {
namespace {

std::vector<Block> make_blocks(const HeadTerm& term, const TensorSet& set, const Initializer& init) {
  std::vector<Block> blocks;
  for (const BlockSpec& block : term.blocks) {
    const std::string prefix = prefix_of(block);
    blocks.emplace_back(block, TensorSet{set.prefix + prefix, set.like + prefix, set.role}, init);
  }
  return blocks;
}

FeatureShape behind_blocks(const HeadTerm& term, const FeatureShape& in) {
  return term.blocks.empty() ? seen_by(term, in) : term.blocks.back().out;
}

bool classifies(const HeadTerm& term) {
  return term.loss == LossKind::cross_entropy;
}

bool normalises_single_values(const ChainSpec& chain, FeatureShape shape) {
  for (const LayerSpec& layer : chain) {
    if (std::holds_alternative<BatchNorm>(layer.op) && shape.height * shape.width == 1) return true;
    shape = cost(layer, shape).out;
  }
  return false;
}

}  // namespace

bool HeadSpec::needs_image() const {
  return std::any_of(terms.begin(), terms.end(),
                     [](const HeadTerm& term) { return term.loss == LossKind::reconstruction; });
}

FeatureShape seen_by(const HeadTerm& term, const FeatureShape& in) {
  return term.quadrant < 0 ? in : FeatureShape{in.channels, in.height / 2, in.width / 2};
}

LayerCost cost(const HeadSpec& head, const FeatureShape& in) {
  LayerCost total{in};
  for (const HeadTerm& term : head.terms) {
    const LayerCost layers = cost(term.layers, behind_blocks(term, in));
    total = {layers.out, total.parameters + layers.parameters, total.multiply_adds + layers.multiply_adds};
    for (const BlockSpec& block : term.blocks) {
      total.parameters += block.parameters;
      total.multiply_adds += block.multiply_adds;
    }
  }
  return total;
}

bool normalises_single_values(const HeadSpec& head, const FeatureShape& in) {
  for (const HeadTerm& term : head.terms) {
    if (normalises_single_values(term.layers, behind_blocks(term, in))) return true;
    for (const BlockSpec& block : term.blocks)
      if (normalises_single_values(block.body, block.in) ||
          normalises_single_values(block.shortcut, block.in))
        return true;
  }
  return false;
}

Head::Head(const HeadSpec& spec, const FeatureShape& in, const TensorSet& set, const Initializer& init) {
  terms_.reserve(spec.terms.size());
  for (const HeadTerm& term : spec.terms) {
    const TensorSet own{set.prefix + term.name, set.like + term.name, set.role};
    terms_.push_back(
        {term, make_blocks(term, own, init), Chain(term.layers, behind_blocks(term, in), own, init)});
  }
}

at::Tensor Head::Term::output(const at::Tensor& features, Mode mode) const {
  at::Tensor y = quarter(features, spec.quadrant);
  for (const Block& block : blocks) y = block.forward(y, mode);
  return layers.forward(y, mode);
}

HeadLoss Head::loss(const at::Tensor& features, const Targets& targets, Mode mode) const {
  HeadLoss result;
  for (const Term& term : terms_) {
    at::Tensor output = term.output(features, mode);
    const OwnTypes of_losses;
    if (output.scalar_type() == at::kBFloat16) output = output.to(at::kFloat);
    at::Tensor loss = term_loss(term.spec, output, targets);
    if (term.spec.weight != 1) loss = loss * term.spec.weight;
    result.total = result.total.defined() ? result.total + loss : loss;
    if (classifies(term.spec) && !result.correct.defined())
      result.correct = (output.detach().argmax(1) == targets.y_B).sum();
  }
  return result;
}

at::Tensor Head::logits(const at::Tensor& features, Mode mode) const {
  const auto term =
      std::find_if(terms_.begin(), terms_.end(), [](const Term& t) { return classifies(t.spec); });
  return term->output(features, mode);
}

std::vector<NamedTensor> Head::tensors() const {
  std::vector<NamedTensor> all;
  for (const Term& term : terms_) {
    for (const Block& block : term.blocks) append(all, block.tensors());
    append(all, term.layers.tensors());
  }
  return all;
}

}  // namespace lamina
