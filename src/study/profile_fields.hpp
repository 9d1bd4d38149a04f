#pragma once

#include <map>
#include <string>

#include "lamina/train/run_config.hpp"

namespace lamina {

/// The fields of a configuration that decide what a module costs, with their values.
std::map<std::string, std::string> fields_that_decide(const RunConfig& config);

}  // namespace lamina
