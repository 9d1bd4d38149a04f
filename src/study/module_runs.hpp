#pragma once

#include "lamina/train/run_plan.hpp"

namespace lamina {

/// The modules first to last as a stage, with `lookahead` shadowing what follows them. Its number is 0.
StageSpec stage_of_modules(const RunPlan& plan, int first, int last, bool lookahead);

/// The plan with windows of so many modules. @throws Error{config} if its method has no windows.
RunPlan with_window(const RunPlan& plan, std::int64_t window);

}  // namespace lamina
