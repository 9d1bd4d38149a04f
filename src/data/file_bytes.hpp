#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace lamina {

/// The whole file. @throws Error{data} with the path and the system's reason if it cannot be read.
std::vector<std::uint8_t> read_bytes(const std::filesystem::path& path);

}  // namespace lamina
