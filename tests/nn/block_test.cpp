#include "lamina/nn/block.hpp"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "nn/examples.hpp"
#include "nn/finite_difference.hpp"

namespace lamina {
namespace {

BlockSpec block_at(const BlockId& id) {
  const Backbone net = backbone_of("resnet14", 16);
  return net.blocks[net.index_of(id)];
}

// A block that changes the channels but not the size, as wider networks have in their first stage.
BlockSpec widening_block() {
  BlockSpec block = block_at({2, 0});
  std::get<Conv>(block.body.front().op).stride = 1;
  std::get<Conv>(block.shortcut.front().op).stride = 1;
  block.out = cost(block.body, block.in).out;
  return block;
}

struct Kind {
  const char* name;
  BlockSpec spec;
};
void PrintTo(const Kind& kind, std::ostream* out) {
  *out << kind.name;
}

class EachBlock : public testing::TestWithParam<Kind> {
 protected:
  const BlockSpec& spec() const { return GetParam().spec; }
};
INSTANTIATE_TEST_SUITE_P(Kinds, EachBlock,
                         testing::Values(Kind{"Stem", block_at({0, 0})}, Kind{"Identity", block_at({1, 0})},
                                         Kind{"IdentityLater", block_at({3, 1})},
                                         Kind{"NarrowingDownsample", block_at({2, 0})},
                                         Kind{"WideningDownsample", widening_block()}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(EachBlock, GradientsAreThoseOfFiniteDifferences) {
  const Block block(spec(), doubles());
  const std::vector<at::Tensor> parameters = trained(block.tensors());
  stir(parameters);
  const at::Tensor x = batch_of(4, spec().in).requires_grad_(true);
  const at::Tensor w = batch_of(4, spec().out, 2);  // of the scalar that is differentiated
  const auto value = [&] { return (block.forward(x, Mode::train) * w).mean(); };

  std::vector<at::Tensor> variables = parameters;
  variables.push_back(x);
  const std::vector<at::Tensor> grads = torch::autograd::grad({value()}, variables);
  EXPECT_LT(difference_error([&] { return value().item<double>(); }, variables, grads), 1e-6);
}

// The block's formula, written out on its tensors.
at::Tensor reference(const BlockSpec& spec, const Block& block, const at::Tensor& x) {
  const auto tensors = by_name(block.tensors());
  const std::string prefix = spec.name.empty() ? "" : spec.name + ".";
  const auto conv_and_norm = [&](const at::Tensor& in, const std::string& conv, const std::string& bn,
                                 std::int64_t stride, std::int64_t padding) {
    const at::Tensor y =
        at::conv2d(in, tensors.at(prefix + conv + ".weight"), {}, {stride, stride}, {padding, padding});
    const std::vector<std::int64_t> over{0, 2, 3};
    const auto wide = [](const at::Tensor& t) { return t.view({1, -1, 1, 1}); };
    return (y - y.mean(over, true)) / (y.var(over, false, true) + 1e-5).sqrt() *
               wide(tensors.at(prefix + bn + ".weight")) +
           wide(tensors.at(prefix + bn + ".bias"));
  };
  const std::int64_t stride = spec.in.height / spec.out.height;
  const at::Tensor first = conv_and_norm(x, "conv1", "bn1", stride, 1).relu();
  if (!spec.residual) return first;
  const at::Tensor sum = conv_and_norm(first, "conv2", "bn2", 1, 1);
  const bool reshapes = spec.in != spec.out;
  return (sum + (reshapes ? conv_and_norm(x, "downsample.0", "downsample.1", stride, 0) : x)).relu();
}

TEST_P(EachBlock, ComputesItsFormula) {
  const Block block(spec(), doubles());
  stir(trained(block.tensors()));
  const at::Tensor x = batch_of(4, spec().in);
  EXPECT_LT(distance(block.forward(x, Mode::train), reference(spec(), block, x)), 1e-12);
}

TEST_P(EachBlock, LeavesItsInputAsItWas) {
  const Block block(spec(), doubles());
  const at::Tensor x = batch_of(4, spec().in);
  const at::Tensor before = x.clone();
  block.forward(x, Mode::train);
  block.forward(x, Mode::eval);
  EXPECT_TRUE(at::equal(x, before));
}

TEST_P(EachBlock, EvaluationSeesEachSampleByItself) {
  const Block block(spec(), doubles());
  block.forward(batch_of(8, spec().in, 3), Mode::train);
  const at::Tensor x = batch_of(4, spec().in);
  const auto alone = [&](Mode mode) { return block.forward(x.slice(0, 1, 2), mode).detach(); };
  const auto among_others = [&](Mode mode) { return block.forward(x, mode).detach().slice(0, 1, 2); };
  EXPECT_LT(distance(alone(Mode::eval), among_others(Mode::eval)), 1e-12);
  EXPECT_GT(distance(alone(Mode::train), among_others(Mode::train)), 1e-3);
}

}  // namespace
}  // namespace lamina
