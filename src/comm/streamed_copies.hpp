#pragma once

#include <memory>

#include "comm/side_stream.hpp"
#include "lamina/comm/host_copies.hpp"

namespace lamina {

/// Copies in a side stream, and a thread that sleeps between looks at whether they are there.
std::unique_ptr<HostCopies> make_streamed_copies(std::unique_ptr<SideStream> stream);

}  // namespace lamina
