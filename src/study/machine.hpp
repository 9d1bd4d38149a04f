#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace lamina {

/// This host: its name, processor, number of processors that this process may use, and memory.
nlohmann::json describe_machine();

/// The state of the checkout that this process was started in, as `git describe` names it, "-dirty" if files
/// differ from it; "unknown" without a checkout or git.
std::string git_state();

/// The time of day, as "2026-01-31T12:00:00Z".
std::string utc_now();

}  // namespace lamina
