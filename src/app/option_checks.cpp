#include <cmath>
#include <cstdlib>

#include "commands.hpp"

namespace lamina {

std::string usable_path(const std::string& path) {
  if (path.empty()) return "expected a path, found nothing";
  return is_utf8(path) ? "" : "expected UTF-8, found other bytes";
}

std::string finite(const std::string& number) {
  return std::isfinite(std::strtod(number.c_str(), nullptr)) ? ""
                                                             : "expected a finite number, found " + number;
}

}  // namespace lamina
