#pragma once

#include <string>
#include <vector>

#include "lamina/core/clock.hpp"
#include "lamina/core/error.hpp"

namespace lamina {

/// What a worker throws that has waited too long in Transport::all_gather: Error{timeout}, with the names of
/// those that have not come.
Error gather_timeout(int worker, Seconds limit, const std::vector<std::string>& missing, int num_workers);

}  // namespace lamina
