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
  std::int64_t block = 0;  ///< whose output the head sees, index into the backbone's: the module's last, or
                           ///< the last that a LAM leaps to
  FeatureShape in{};       ///< of that output
};

/// The head with which the method's framework trains a module that is not the last; docs/method.md, Heads and
/// losses.
///
/// Its tensors are called, behind the head's prefix: as their layers where the head only classifies ("conv1",
/// "bn1", "fc", ...); "task.*" and "decoder.*" ("decoder.<quarter>.*" under hpff); "predict.fc" and
/// "similarity.conv"; "block.<i>.*", "bn" and "fc" under auglocal.
/// @throws Error{config} for a head that cannot stand there, saying why.
HeadSpec make_head(const MethodConfig& method, const HeadPlace& place);

/// Ends of AugLocal's own modules: every layer but the last depth+1, which are the final module. Blocks as in
/// cut_into_modules().
/// @throws Error{config} unless that leaves a module before the final one.
std::vector<std::int64_t> auglocal_ends(const Backbone& backbone, std::int64_t depth);

/// The backbone's own classifier, which trains the last module.
HeadSpec classifier_head(const Backbone& backbone);

}  // namespace lamina
