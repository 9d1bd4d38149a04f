#pragma once

#include <cstdint>
#include <vector>

#include "lamina/core/config.hpp"
#include "lamina/nn/backbone.hpp"

namespace lamina {

/// The blocks that each LAM leaps to, METHOD section 4: by module but the last, indices into the backbone's
/// blocks.
///
/// `leaps` is "auto": the published set of this backbone and cut, under `release` those of the released code
/// as well, or else the general rule; "next": the first block of the next module (MAN); or a list of blocks
/// [stage,block] for every module but the last.
/// @param ends  last block of every module but the last, ascending.
/// @throws Error{config} for a list of another length, an unknown block, a leap to the module's own or an
/// earlier block, a set that does not end in the last block (unless "next"), or shapes that do not follow on
/// one another; a LAM for the last module.
std::vector<std::vector<std::int64_t>> leap_sets(const Backbone& backbone,
                                                 const std::vector<std::int64_t>& ends,
                                                 const WordOrLists& leaps, bool release);

}  // namespace lamina
