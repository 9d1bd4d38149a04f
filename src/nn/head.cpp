#include "lamina/nn/head.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <map>

#include "lamina/core/config.hpp"
#include "lamina/core/error.hpp"

namespace lamina {
namespace {

constexpr std::int64_t hidden = 128;  // f in METHOD section 5

void append(ChainSpec& chain, ChainSpec more) {
  chain.insert(chain.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

ChainSpec pooled_linear(std::int64_t num_classes) {
  return {{AdaptiveAvgPool{1}}, {Flatten{}}, {Linear{num_classes}, "fc"}};
}

// Three times [layer, batch norm, ReLU], numbered from 1.
template <class Op>
ChainSpec three(const Op& op, const std::string& layer, const std::string& norm) {
  ChainSpec chain;
  for (int i = 1; i <= 3; ++i)
    append(chain,
           {{op, fmt::format("{}{}", layer, i)}, {BatchNorm{}, fmt::format("{}{}", norm, i)}, {Relu{}}});
  return chain;
}

ChainSpec linear_head(const FeatureShape&, std::int64_t num_classes) {
  return pooled_linear(num_classes);
}

ChainSpec dgl_head(const FeatureShape&, std::int64_t num_classes) {
  ChainSpec chain{{AdaptiveAvgPool{8}}};
  append(chain, three(Conv{hidden, 1}, "conv", "bn"));
  append(chain, {{AdaptiveAvgPool{1}}, {Flatten{}}});
  append(chain, three(Linear{4 * hidden}, "fc", "fc_bn"));
  append(chain, {{Linear{num_classes}, "fc"}});
  return chain;
}

ChainSpec mlp_sr_head(const FeatureShape& in, std::int64_t num_classes) {
  ChainSpec chain{{AdaptiveAvgPool{(in.height + 3) / 4}}};
  append(chain, three(Conv{in.channels, 1}, "conv", "bn"));
  append(chain, {{AdaptiveAvgPool{2}}, {Flatten{}}});
  append(chain, three(Linear{4 * in.channels}, "fc", "fc_bn"));
  append(chain, {{Linear{num_classes}, "fc"}});
  return chain;
}

ChainSpec conv_mlp_head(const FeatureShape& in, std::int64_t num_classes) {
  const Conv conv{std::min<std::int64_t>(2 * in.channels, 64), 3, in.channels < 64 ? 2 : 1, 1};
  return {{conv, "conv1"}, {BatchNorm{}, "bn1"},    {Relu{}}, {AdaptiveAvgPool{1}},
          {Flatten{}},     {Linear{hidden}, "fc1"}, {Relu{}}, {Linear{num_classes}, "fc"}};
}

using MakeHead = ChainSpec (*)(const FeatureShape&, std::int64_t);
const std::map<std::string, MakeHead>& makers() {
  static const std::map<std::string, MakeHead> table = {
      {"1c2f", conv_mlp_head}, {"dgl", dgl_head}, {"linear", linear_head}, {"mlp_sr", mlp_sr_head}};
  return table;
}

HeadResult judge(const at::Tensor& logits, const at::Tensor& loss, const at::Tensor& y_B) {
  HeadResult result;
  result.loss = loss.item<double>();
  result.correct = (logits.detach().argmax(1) == y_B).sum().item<std::int64_t>();
  return result;
}

}  // namespace

std::vector<std::string> head_names() {
  std::vector<std::string> names;
  for (const auto& [name, make] : makers()) names.push_back(name);
  return names;
}

ChainSpec head_layers(const std::string& name, const FeatureShape& in, std::int64_t num_classes) {
  const auto maker = makers().find(name);
  if (maker == makers().end())
    throw Error(ErrorKind::config, fmt::format("method.head: expected one of {}, found \"{}\"",
                                               fmt::join(head_names(), ", "), name));
  return maker->second(in, num_classes);
}

bool normalises_single_values(const ChainSpec& layers, const FeatureShape& in) {
  FeatureShape shape = in;
  for (const LayerSpec& layer : layers) {
    if (std::holds_alternative<BatchNorm>(layer.op) && shape.height * shape.width == 1) return true;
    shape = cost(layer, shape).out;
  }
  return false;
}

Head::Head(const ChainSpec& layers, const FeatureShape& in, const std::string& prefix,
           const Initializer& init)
    : chain_(layers, in, prefix, init), parameters_(trained(chain_.tensors())) {}

HeadResult Head::train(const at::Tensor& features, const at::Tensor& y_B) const {
  const at::Tensor leaf = features.detach().requires_grad_(true);
  const at::Tensor logits = chain_.forward(leaf, Mode::train);
  const at::Tensor loss = at::cross_entropy_loss(logits, y_B);
  std::vector<at::Tensor> inputs{leaf};
  inputs.insert(inputs.end(), parameters_.begin(), parameters_.end());
  std::vector<at::Tensor> grads = torch::autograd::grad({loss}, inputs);
  HeadResult result = judge(logits, loss, y_B);
  result.feature_grad = grads.front();
  result.parameter_grads.assign(grads.begin() + 1, grads.end());
  return result;
}

HeadResult Head::eval(const at::Tensor& features, const at::Tensor& y_B) const {
  const at::NoGradGuard no_grad;
  const at::Tensor logits = chain_.forward(features, Mode::eval);
  return judge(logits, at::cross_entropy_loss(logits, y_B), y_B);
}

}  // namespace lamina
