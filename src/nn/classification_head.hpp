#pragma once

#include <cstdint>
#include <string>

#include "lamina/nn/layer.hpp"

namespace lamina {

/// The layers of a classification head, by its name in METHOD section 5, for features of shape `in`.
/// @throws Error{config} for a name not known.
ChainSpec classification_layers(const std::string& name, const FeatureShape& in, std::int64_t num_classes);

}  // namespace lamina
