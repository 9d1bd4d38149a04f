#pragma once

#include "lamina/comm/transport.hpp"
#include "lamina/study/simulate.hpp"

namespace lamina {

/// What the links between neighbouring workers carry while all of them send at once, as a pipeline's stages
/// do: the slowest one's. Its latency is what a message of a byte takes, the receiver's waking included.
///
/// Collective, with two workers or more; opens the transport's lanes. Blocking for a few hundred MiB.
/// @throws Error{timeout}, Error{peer_lost} as the transport does.
LinkSpeed measure_links(Transport& transport, Seconds limit);

}  // namespace lamina
