#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "lamina/nn/backbone.hpp"

namespace lamina {

/// The published cut of a backbone into K modules (docs/method.md, Modules and cuts): indices of the modules'
/// last blocks, all but the last module's. Nothing where none is published.
std::optional<std::vector<std::int64_t>> published_cut(const Backbone& backbone, std::int64_t modules);

}  // namespace lamina
