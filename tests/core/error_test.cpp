#include "lamina/core/error.hpp"

#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <new>
#include <set>
#include <stdexcept>
#include <system_error>

namespace lamina {
namespace {

constexpr std::array kKinds = {ErrorKind::config,  ErrorKind::data,     ErrorKind::checkpoint,
                               ErrorKind::storage, ErrorKind::contract, ErrorKind::peer_lost,
                               ErrorKind::timeout, ErrorKind::device,   ErrorKind::nonfinite};

TEST(Error, EveryKindHasItsOwnNameAndExitCode) {
  std::set<std::string_view> names;
  std::set<int> codes;
  for (const ErrorKind kind : kKinds) {
    names.insert(name(kind));
    codes.insert(Error(kind, "").exit_code());
  }
  EXPECT_EQ(names.size(), kKinds.size());
  EXPECT_EQ(codes.size(), kKinds.size());
  EXPECT_FALSE(codes.contains(0)) << "success";
  EXPECT_FALSE(codes.contains(1)) << "what a runtime exits with for reasons of its own";
}

TEST(AsError, OursStaysAsItIs) {
  const Error error = as_error(Error(ErrorKind::data, "expected a, found b"));
  EXPECT_EQ(error.kind(), ErrorKind::data);
  EXPECT_STREQ(error.what(), "expected a, found b");
}

TEST(AsError, WhatTheSystemLacksIsNamedByWhatMendsIt) {
  const std::filesystem::filesystem_error refused("read", "out/x",
                                                  make_error_code(std::errc::permission_denied));
  EXPECT_EQ(as_error(refused).kind(), ErrorKind::storage);
  EXPECT_STREQ(as_error(refused).what(), "out/x: Permission denied");
  EXPECT_EQ(as_error(std::bad_alloc()).kind(), ErrorKind::device);
  EXPECT_EQ(as_error(std::system_error(make_error_code(std::errc::resource_unavailable_try_again))).kind(),
            ErrorKind::device);
  EXPECT_EQ(as_error(std::logic_error("no such state")).kind(), ErrorKind::contract);
}

TEST(AsError, IsOneLineWithoutATrace) {
  const std::runtime_error torchs(
      "shapes differ:\n[2] and [3]\nException raised from f at g.cpp:7\nframe #0: h");
  EXPECT_STREQ(as_error(torchs).what(), "shapes differ:; [2] and [3]");
  EXPECT_STREQ(as_error(std::runtime_error("ends\n\n")).what(), "ends");
}

}  // namespace
}  // namespace lamina
