#pragma once

#include <cstdint>
#include <string>

#include "lamina/nn/layer.hpp"

namespace lamina {

/// Outputs of a head whose features are contrasted: f in docs/method.md, Heads and losses.
constexpr std::int64_t contrast_features = 128;

/// The layers of a classification head, by its name in docs/method.md, Heads and losses, for features of
/// shape `in` that were made of images of shape `image`.
/// @throws Error{config} for a name not known.
ChainSpec classification_layers(const std::string& name, const FeatureShape& in, std::int64_t outputs,
                                const FeatureShape& image);

/// Whether heads have the forms for ImageNet: docs/method.md, Heads and losses, "images above 96x96".
bool is_large(const FeatureShape& image);

}  // namespace lamina
