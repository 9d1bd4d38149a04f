#pragma once

#include <functional>
#include <string>

#include "lamina/train/run_plan.hpp"

namespace lamina {

/// Collective, before anything else: checks that all processes of a job were given the same configuration
/// (but for what each host resolves by itself) and run the same build with the same libraries.
/// @throws Error{config} at the first worker, naming who differs in what; Error{peer_lost} at the others.
void require_agreement(const RunPlan& plan, Transport& transport, Seconds limit);

/// Collective: has worker 0 act first, and gives everybody what it said. If it throws, it alone complains.
/// @throws what `act` threw, at worker 0; Error{peer_lost} at the others.
std::string hear_first(Transport& transport, Seconds limit, const std::function<std::string()>& act);

}  // namespace lamina
