#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace lamina {

/// JSON of whole numbers and of few levels, as in the files that come from elsewhere: a fraction as a number
/// of something would be any number, and whoever prints or copies JSON goes down the stack by one for each
/// level.
/// @throws std::exception for anything else.
nlohmann::json parse_plain(std::string_view text);

}  // namespace lamina
