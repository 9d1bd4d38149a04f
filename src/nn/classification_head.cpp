#include "classification_head.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "lamina/core/error.hpp"
#include "lamina/nn/framework.hpp"

namespace lamina {
namespace {

constexpr std::int64_t hidden = contrast_features;  // f in docs/method.md, Heads and losses

void append(ChainSpec& chain, ChainSpec more) {
  chain.insert(chain.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

ChainSpec pooled_linear(std::int64_t outputs) {
  return {{AdaptiveAvgPool{1}}, {Flatten{}}, {Linear{outputs}, "fc"}};
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

ChainSpec linear_head(const FeatureShape&, std::int64_t outputs) {
  return pooled_linear(outputs);
}

ChainSpec dgl_head(const FeatureShape&, std::int64_t outputs) {
  ChainSpec chain{{AdaptiveAvgPool{8}}};
  append(chain, three(Conv{hidden, 1}, "conv", "bn"));
  append(chain, {{AdaptiveAvgPool{1}}, {Flatten{}}});
  append(chain, three(Linear{4 * hidden}, "fc", "fc_bn"));
  append(chain, {{Linear{outputs}, "fc"}});
  return chain;
}

ChainSpec mlp_sr_head(const FeatureShape& in, std::int64_t outputs) {
  ChainSpec chain{{AdaptiveAvgPool{(in.height + 3) / 4}}};
  append(chain, three(Conv{in.channels, 1}, "conv", "bn"));
  append(chain, {{AdaptiveAvgPool{2}}, {Flatten{}}});
  append(chain, three(Linear{4 * in.channels}, "fc", "fc_bn"));
  append(chain, {{Linear{outputs}, "fc"}});
  return chain;
}

ChainSpec conv_mlp_head(const FeatureShape& in, std::int64_t outputs) {
  const Conv conv{std::min<std::int64_t>(2 * in.channels, 64), 3, in.channels < 64 ? 2 : 1, 1};
  return {{conv, "conv1"}, {BatchNorm{}, "bn1"},    {Relu{}}, {AdaptiveAvgPool{1}},
          {Flatten{}},     {Linear{hidden}, "fc1"}, {Relu{}}, {Linear{outputs}, "fc"}};
}

// What `1c2f` is for large images: for 512 channels and for 1024 the published layers, for others what lies
// on the same line.
ChainSpec large_conv_head(const FeatureShape& in, std::int64_t outputs) {
  const Conv convs[] = {
      {std::max<std::int64_t>(in.channels / 4, 64), 1}, {256, 3, 2, 1}, {512, 3, 2, 1}, {2048, 1}};
  ChainSpec chain;
  int i = 0;
  for (const Conv& conv : convs) {
    ++i;
    append(chain, {{conv, fmt::format("conv{}", i)}, {BatchNorm{}, fmt::format("bn{}", i)}, {Relu{}}});
  }
  append(chain, pooled_linear(outputs));
  return chain;
}

using MakeHead = ChainSpec (*)(const FeatureShape&, std::int64_t);
const std::map<std::string, MakeHead>& makers() {
  static const std::map<std::string, MakeHead> table = {
      {"1c2f", conv_mlp_head}, {"dgl", dgl_head}, {"linear", linear_head}, {"mlp_sr", mlp_sr_head}};
  return table;
}

}  // namespace

std::vector<std::string> head_names() {
  std::vector<std::string> names;
  for (const auto& [name, make] : makers()) names.push_back(name);
  return names;
}

ChainSpec classification_layers(const std::string& name, const FeatureShape& in, std::int64_t outputs,
                                const FeatureShape& image) {
  const auto maker = makers().find(name);
  if (maker == makers().end())
    throw Error(ErrorKind::config, fmt::format("method.head: expected one of {}, found \"{}\"",
                                               fmt::join(head_names(), ", "), name));
  if (name == "1c2f" && is_large(image)) return large_conv_head(in, outputs);
  return maker->second(in, outputs);
}

bool is_large(const FeatureShape& image) {
  return image.height > 96;
}

}  // namespace lamina
