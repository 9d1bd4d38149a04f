#include "plain_json.hpp"

#include <fmt/format.h>

#include <stdexcept>

namespace lamina {

nlohmann::json parse_plain(std::string_view text) {
  return nlohmann::json::parse(
      text, [](int depth, nlohmann::json::parse_event_t, const nlohmann::json& value) {
        constexpr int most = 16;
        if (depth > most) throw std::invalid_argument(fmt::format("at most {} levels, found more", most));
        if (value.is_number_float()) throw std::invalid_argument("whole numbers, found " + value.dump());
        return true;
      });
}

}  // namespace lamina
