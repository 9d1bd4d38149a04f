#pragma once

#include <optional>
#include <string_view>

#include "lamina/core/clock.hpp"

namespace lamina {

/// A time such as "3h50m", "90m" or "1d": whole numbers of d, h, m and s, each unit once and the larger
/// first. Nothing if the text is not one.
std::optional<Seconds> duration(std::string_view text);

}  // namespace lamina
