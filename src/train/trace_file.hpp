#pragma once

#include <optional>
#include <string>

#include "lamina/pipeline/timeline.hpp"
#include "lamina/train/run_plan.hpp"

namespace lamina {

/// Tells now if the file cannot be written later: leaves an empty trace there. @throws Error{storage}
void prepare_trace(const std::string& path);

/// Aligns the workers' clocks, gathers their timelines and has the plan's sink write them as a Chrome trace.
/// Collective. @throws Error{storage}
void write_trace(const RunPlan& plan, Transport& transport, const Timeline& timeline, const std::string& path,
                 Seconds limit);

}  // namespace lamina
