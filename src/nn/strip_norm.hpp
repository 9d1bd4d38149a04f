#pragma once

#include <algorithm>

#include "lamina/nn/head.hpp"

namespace lamina {

/// The same layers without batch norm (`model.norm: none`).
inline ChainSpec strip_norm(ChainSpec chain) {
  std::erase_if(chain, [](const LayerSpec& layer) { return std::holds_alternative<BatchNorm>(layer.op); });
  return chain;
}

inline void strip_norm(HeadSpec& head) {
  // Its blocks are made as the backbone's are, so they have none.
  for (HeadTerm& term : head.terms) term.layers = strip_norm(std::move(term.layers));
}

}  // namespace lamina
