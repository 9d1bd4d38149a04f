#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "lamina/core/error.hpp"

namespace lamina {

/// The message that a user reads, or nothing if all is well.
inline std::string errors(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::config);
    return error.what();
  }
  return "";
}

}  // namespace lamina
