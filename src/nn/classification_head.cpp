#include "classification_head.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "lamina/core/error.hpp"
#include "lamina/nn/framework.hpp"

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

}  // namespace

std::vector<std::string> head_names() {
  std::vector<std::string> names;
  for (const auto& [name, make] : makers()) names.push_back(name);
  return names;
}

ChainSpec classification_layers(const std::string& name, const FeatureShape& in, std::int64_t num_classes) {
  const auto maker = makers().find(name);
  if (maker == makers().end())
    throw Error(ErrorKind::config, fmt::format("method.head: expected one of {}, found \"{}\"",
                                               fmt::join(head_names(), ", "), name));
  return maker->second(in, num_classes);
}

}  // namespace lamina
