#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "lamina/nn/backbone.hpp"

namespace lamina {

/// The published leap sets of a backbone cut by `ends` (docs/method.md, Leaps): blocks by module but the
/// last. Nothing where none are published for that cut, or where they are the released code's alone and not
/// asked for by `release`.
std::optional<std::vector<std::vector<BlockId>>> published_leaps(const Backbone& backbone,
                                                                 const std::vector<std::int64_t>& ends,
                                                                 bool release);

}  // namespace lamina
