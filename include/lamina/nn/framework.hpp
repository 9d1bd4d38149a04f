#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lamina/nn/backbone.hpp"
#include "lamina/nn/head.hpp"
#include "lamina/nn/method_config.hpp"

namespace lamina {

/// Names of the local-learning frameworks, and of the classification heads.
std::vector<std::string> framework_names();
std::vector<std::string> head_names();

/// Where a head stands.
struct HeadPlace {
  const Backbone& backbone;
  std::int64_t module = 0;
  std::int64_t num_modules = 1;
  std::int64_t last_block = 0;  ///< of the module; index into the backbone's blocks
  FeatureShape in{};            ///< of what the head sees: the module's output, or a LAM's
};

/// The head with which the method's framework trains a module that is not the last; METHOD section 5.
/// @throws Error{config} for a head that cannot stand there, saying why.
HeadSpec make_head(const MethodConfig& method, const HeadPlace& place);

/// The backbone's own classifier, which trains the last module.
HeadSpec classifier_head(const Backbone& backbone);

}  // namespace lamina
