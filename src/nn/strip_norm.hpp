#pragma once

#include <algorithm>

#include "lamina/nn/layer.hpp"

namespace lamina {

/// The same layers without batch norm (`model.norm: none`).
inline ChainSpec strip_norm(ChainSpec chain) {
  std::erase_if(chain, [](const LayerSpec& layer) { return std::holds_alternative<BatchNorm>(layer.op); });
  return chain;
}

}  // namespace lamina
