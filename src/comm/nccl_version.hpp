#pragma once

#include <string>

namespace lamina {

/// "2.30.7" of the code 23007.
std::string nccl_version_text(int code);

/// 2.28.3 to 2.28.8.
bool is_bad_nccl_version(int code);

}  // namespace lamina
