#pragma once

#include <gtest/gtest.h>

#include "lamina/core/error.hpp"

namespace lamina {

/// Fails the test unless `call` throws an Error of this kind, with one line of text.
template <class Call>
void expect_error(ErrorKind kind, Call call) {
  try {
    call();
    ADD_FAILURE() << "expected an Error of kind " << name(kind) << ", but nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_STRNE(error.what(), "");
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
  }
}

}  // namespace lamina
