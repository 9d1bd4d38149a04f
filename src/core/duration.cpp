#include "lamina/core/duration.hpp"

#include <regex>
#include <string>

namespace lamina {

std::optional<Seconds> duration(std::string_view text) {
  // Nine digits of days are more than any clock counts to, and none of them overflows.
  static const std::regex units("(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?");
  const std::string whole(text);
  std::smatch found;
  if (whole.empty() || !std::regex_match(whole, found, units)) return std::nullopt;
  double seconds = 0;
  for (const auto& [group, unit_s] : {std::pair{1, 86400.0}, {2, 3600.0}, {3, 60.0}, {4, 1.0}})
    if (found[group].matched) seconds += unit_s * std::stod(found[group].str());
  return Seconds(seconds);
}

}  // namespace lamina
