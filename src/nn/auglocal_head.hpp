#pragma once

#include "lamina/nn/framework.hpp"

namespace lamina {

/// AugLocal's head: blocks as the backbone's, of the widths that lie evenly between where the head stands and
/// the backbone's end; docs/method.md, Heads and losses.
HeadTerm auglocal_term(const MethodConfig& method, const HeadPlace& place);

}  // namespace lamina
