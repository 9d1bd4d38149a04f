#include "lamina/train/stop_request.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

namespace lamina {
namespace {

TEST(StopRequestDeathTest, SigtermAsksForAStopUntilNothingCanBeAgreedOnAnyMore) {
  const auto run = [] {
    install_stop_signals();
    std::raise(SIGTERM);
    if (!stop_requested()) std::_Exit(1);
    exit_at_sigterm(7);
    std::raise(SIGTERM);
    std::_Exit(2);
  };
  EXPECT_EXIT(run(), testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace lamina
