#pragma once

#include <cstdint>
#include <vector>

#include "lamina/core/config.hpp"
#include "lamina/nn/backbone.hpp"

namespace lamina {

/// The blocks that each LAM leaps to, by module but the last: indices into the backbone's blocks;
/// docs/method.md, Leaps.
///
/// `leaps` is "auto": the published set of this backbone and cut, under `release` those of the released code
/// as well, or else the general rule; "next": the first block of the next module (MAN); or a list of blocks
/// [stage,block] for every module but the last.
///
/// Shapes follow: the first leap takes the module's output, each further one what the one before it gives.
/// The published sets of the released code alone may leap to the module's own or an earlier block, or end
/// before the network does; every other set names blocks behind the module and (but for "next") ends in the
/// last one.
///
/// The general rule takes all blocks behind the module that change the shape, early blocks of the last stage,
/// and the last block: four, fewer where fewer remain, and more only where more change the shape (a VGG's
/// pools do as well).
/// @param ends  last block of every module but the last, ascending.
/// @throws Error{config} for lists that are not one for every module but the last (which has no LAM), an
/// empty list, an unknown block, or a list that does not keep to the above, naming the module.
std::vector<std::vector<std::int64_t>> leap_sets(const Backbone& backbone,
                                                 const std::vector<std::int64_t>& ends,
                                                 const WordOrLists& leaps, bool release);

}  // namespace lamina
