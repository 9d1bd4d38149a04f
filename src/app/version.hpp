#pragma once

#include <string>

namespace lamina {

/// Lamina's version and those of the libraries that it runs on.
std::string version_text();

}  // namespace lamina
