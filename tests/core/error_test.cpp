#include "lamina/core/error.hpp"

#include <gtest/gtest.h>

#include <array>
#include <set>

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

}  // namespace
}  // namespace lamina
