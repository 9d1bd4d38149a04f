#pragma once

#include <string>

#include "lamina/train/run_plan.hpp"

namespace lamina {

/// The plan of a configuration's text, as started plainly.
inline RunPlan plan_of(const std::string& yaml) {
  ConfigText config = ConfigText::from_text(yaml, "text");
  return make_run_plan(read_run_config(config), {});
}

}  // namespace lamina
