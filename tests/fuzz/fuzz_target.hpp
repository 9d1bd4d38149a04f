#pragma once

#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "lamina/core/error.hpp"

namespace lamina {

/// A reader of what others wrote, fed with bytes: those that libFuzzer makes up, and those kept in
/// corpus/<name>.
///
/// A reader refuses by an Error. Whatever else it throws is a defect, and so is what a sanitizer finds.
struct FuzzTarget {
  std::string_view name;
  bool (*takes)(std::string_view bytes);  ///< whether the bytes were taken for what they claim to be
  std::size_t most_bytes;                 ///< of an input
  int most_mib;                           ///< that such an input may make the reader allocate at once
};

/// The table of all targets, in fuzz_targets.cpp.
std::span<const FuzzTarget> fuzz_targets();

template <class Read>
bool taken(Read read) {
  try {
    read();
    return true;
  } catch (const Error&) {
    return false;
  }
}

/// What holds of everything that a reader takes.
inline void require(bool holds, const std::string& what) {
  if (!holds) throw std::logic_error(what);
}

}  // namespace lamina
